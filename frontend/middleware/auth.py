"""Lets nobody in without a key, also where a path leads nowhere; the probes and the page are open."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from frontend.errors import AuthenticationFailed, to_response
from frontend.keys.key import ApiKey
from frontend.keys.ring import KeyRing

# Probes have no key, and the page asks for one.
OPEN_PATHS = frozenset({"/health/live", "/health/ready", "/", "/status", "/docs"})


class Authentication:
    """ASGI middleware; puts the key's owner into the request's state as `key`."""

    def __init__(self, app: ASGIApp, keys: KeyRing) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        try:
            scope.setdefault("state", {})["key"] = self._authenticate(Headers(scope=scope))
        except AuthenticationFailed as error:
            await to_response(error, scope["path"])(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _authenticate(self, headers: Headers) -> ApiKey:
        given = _given_key(headers)
        owner = self._keys.owner(given)
        if owner is not None:
            return owner
        if not given:
            raise AuthenticationFailed(
                "Give your API key as `Authorization: Bearer KEY` or `x-api-key: KEY`."
            )
        raise AuthenticationFailed("Incorrect API key provided.")


def _given_key(headers: Headers) -> str:
    """The key in OpenAI's header or, without that one, in Anthropic's."""
    if "authorization" not in headers:
        return headers.get("x-api-key", "").strip()
    scheme, _, key = headers["authorization"].partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""
