"""Counts every answer of the application by its route and status."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from frontend.metrics.counters import HTTP_REQUESTS, MODEL_ROUTE, OTHER, ROUTES, STATUSES
from frontend.metrics.shared import SharedMetrics

_ROUTES = frozenset(ROUTES)
_MODEL_PATH = MODEL_ROUTE.partition("{")[0]
_STATUSES = {int(status): status for status in STATUSES if status != OTHER}


class HttpMetrics:
    """ASGI middleware, the outermost one."""

    def __init__(self, app: ASGIApp, metrics: SharedMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                status = _STATUSES.get(message["status"], OTHER)
                HTTP_REQUESTS.add(self._metrics.row, 1, _route(scope["path"]), status)
            await send(message)

        await self._app(scope, receive, send_counted if scope["type"] == "http" else send)


def _route(path: str) -> str:
    """As the route was declared, for the path may hold anything."""
    if path.startswith(_MODEL_PATH):
        return MODEL_ROUTE
    return path if path in _ROUTES else OTHER
