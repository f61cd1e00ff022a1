"""API keys, checked on every route but health."""

import hashlib
import hmac
from collections.abc import Iterable

from starlette.requests import Request

from frontend.errors import AuthenticationFailed


class ApiKeys:
    """The accepted keys, held as digests; a dependency for routes."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = tuple(_digest(key) for key in keys)

    def __call__(self, request: Request) -> None:
        """Raises AuthenticationFailed unless the request carries an accepted key or none is required."""
        if not self._digests:
            return
        key = _given_key(request)
        if not key:
            raise AuthenticationFailed(
                "Give your API key as `Authorization: Bearer KEY` or `x-api-key: KEY`."
            )
        if not self._accepts(key):
            raise AuthenticationFailed("Incorrect API key provided.")

    def _accepts(self, key: str) -> bool:
        digest = _digest(key)
        # No early end: the time must not tell which key came close.
        return sum(hmac.compare_digest(digest, known) for known in self._digests) > 0


def _given_key(request: Request) -> str:
    """The key in OpenAI's header or, without that one, in Anthropic's."""
    if "authorization" not in request.headers:
        return request.headers.get("x-api-key", "").strip()
    scheme, _, key = request.headers["authorization"].partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
