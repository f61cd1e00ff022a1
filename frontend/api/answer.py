"""Runs a chat request and answers in the words of another API, whole or as a stream of events."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from frontend.api.admission import Admission
from frontend.api.chat.delta import ChatDelta, ChatReader
from frontend.api.chat.request import ChatRequest
from frontend.api.chat.translation import named_for_client
from frontend.api.disconnect import until_disconnect
from frontend.api.event_stream import EventStream
from frontend.api.frames import event_frame
from frontend.api.generation_request import from_chat
from frontend.errors import ApiError
from frontend.generation.choices import run_choices
from frontend.triton.triton import Triton

Event = dict[str, Any]


class Answer(Protocol):
    """Feeds on the deltas of a chat's only choice."""

    def read(self, delta: ChatDelta) -> list[Event]: ...

    def failed(self, error: ApiError) -> Event:
        """The event that ends a started stream."""

    def whole(self) -> dict[str, Any]: ...


class ChatAnswers:
    """Answers the requests of one API; `names` is field of the chat request -> that API's field."""

    def __init__(self, triton: Triton, admission: Admission, names: Mapping[str, str]) -> None:
        self._triton = triton
        self._admission = admission
        self._names = names

    async def respond(self, request: Request, chat: ChatRequest, answer: Answer) -> Response:
        events = self._events(request, chat, answer)
        if chat.is_stream:
            return EventStream(request, _frames(events), lambda error: event_frame(answer.failed(error)))
        await until_disconnect(request.receive, _exhaust(events))
        return JSONResponse(answer.whole())

    async def _events(
        self, request: Request, chat: ChatRequest, answer: Answer
    ) -> AsyncGenerator[Event, None]:
        reader = ChatReader(chat)
        with named_for_client(self._names):
            model = await self._admission.served_model(chat)
            generations = from_chat(chat, model)
            slots = self._admission.slots(request, chat, model, generations)
            async with aclosing(run_choices(self._triton, model, generations, slots)) as deltas:
                async for delta in deltas:
                    for event in answer.read(reader.read(delta)):
                        yield event


async def _frames(events: AsyncGenerator[Event, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(events):
        async for event in events:
            yield event_frame(event)


async def _exhaust(events: AsyncGenerator[Event, None]) -> None:
    async with aclosing(events):
        async for _ in events:
            pass
