"""Gives every request an id, the client's X-Request-Id or a new one, for the answer and the log.

Other headers of every answer come with it: those in the request's state as `answer_headers`.
"""

import re
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from frontend.logs import REQUEST_ID_HEADER, current_request_id

# Where Anthropic's SDKs look for it.
ANTHROPIC_HEADER = "request-id"

# A client's id goes into the log and into a header: nothing but harmless characters.
_ACCEPTED = re.compile(r"[\w.:-]{1,128}", re.ASCII)


class RequestId:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
        request_id = given if _ACCEPTED.fullmatch(given) else uuid.uuid4().hex
        current_request_id.set(request_id)
        scope.setdefault("state", {})

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID_HEADER] = headers[ANTHROPIC_HEADER] = request_id
                headers.update(scope["state"].get("answer_headers", {}))
            await send(message)

        await self._app(scope, receive, send_with_id)
