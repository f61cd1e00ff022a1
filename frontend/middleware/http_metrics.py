"""Counts every answer of the application by its route and status."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from frontend.metrics.counters import SharedMetrics, count_answer


class HttpMetrics:
    """ASGI middleware, the outermost one; what a server answers below it, that server counts."""

    def __init__(self, app: ASGIApp, metrics: SharedMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                count_answer(self._metrics.row, scope["path"], message["status"])
            await send(message)

        await self._app(scope, receive, send_counted if scope["type"] == "http" else send)
