"""Bearer keys, checked on every route but health."""

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
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise AuthenticationFailed("Give your API key as `Authorization: Bearer KEY`.")
        if not self._accepts(key.strip()):
            raise AuthenticationFailed("Incorrect API key provided.")

    def _accepts(self, key: str) -> bool:
        digest = _digest(key)
        # No early end: the time must not tell which key came close.
        return sum(hmac.compare_digest(digest, known) for known in self._digests) > 0


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
