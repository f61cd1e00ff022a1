"""Lets nobody in without a key, also where a path leads nowhere; only the probes and the pages are open.

The operations' port asks for none: it is for scrapers and gateways, and nothing there generates.
"""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from frontend.errors import ApiError, AuthenticationFailed, NotFound, to_response
from frontend.keys.key import ApiKey
from frontend.keys.ring import KeyRing

# Probes have no key.
PROBES = frozenset({"/health", "/health/live", "/health/ready"})
# A page has nothing to hide, and asks for a key.
OPEN_PATHS = PROBES | {"/", "/status", "/docs"}
OPERATIONS = PROBES | {"/metrics", "/metrics/triton", "/v1/models"}


class Authentication:
    """ASGI middleware; puts the key's owner into the request's state as `key`."""

    def __init__(self, app: ASGIApp, keys: KeyRing, ops_port: int | None) -> None:
        self._app = app
        self._keys = keys
        self._ops_port = ops_port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                self._let_in(scope)
            except ApiError as error:
                await to_response(error, scope)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _let_in(self, scope: Scope) -> None:
        path = scope["path"]
        if self._ops_port is not None and scope["server"][1] == self._ops_port:
            if path not in OPERATIONS:
                raise NotFound(f"The operations' port has {', '.join(sorted(OPERATIONS))} alone.")
        elif path not in OPEN_PATHS:
            scope.setdefault("state", {})["key"] = self._authenticate(Headers(scope=scope))

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
