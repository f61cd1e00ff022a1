"""The one flow of an answer, whole or streamed, of every API: admission, generations, and the API's words."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from frontend.api.admission import Admission
from frontend.api.chat.request import ChatRequest
from frontend.api.generation_request import from_chat
from frontend.api.sampling import GenerationParameters
from frontend.api.sse import EventStream, until_disconnect
from frontend.errors import ApiError, named_for_client
from frontend.generation.choices import Choices, Take
from frontend.generation.delta import Delta
from frontend.generation.request import GenerationRequest
from frontend.limits.gate import Slots
from frontend.triton.model import ServedModel
from frontend.triton.triton import Triton


class Reply(Protocol):
    """One API's words for one answer; it feeds on deltas in one of two ways."""

    def add(self, delta: Delta) -> None:
        """Takes note of it, for an answer that comes whole."""

    def whole(self) -> dict[str, Any]: ...

    def events(self, delta: Delta) -> bytes:
        """What it adds to a stream."""

    def end(self) -> bytes:
        """What ends a stream that went well."""

    def failed(self, error: ApiError) -> bytes:
        """What ends a stream that has begun."""


class Answers:
    """Answers requests of any API."""

    def __init__(self, triton: Triton, admission: Admission, keep_alive_s: float) -> None:
        """`keep_alive_s`: after so long a silence a stream gets a comment."""
        self._triton = triton
        self._keep_alive_s = keep_alive_s
        self._admission = admission

    async def chat(
        self,
        request: Request,
        chat: ChatRequest,
        reply: Reply,
        names: Mapping[str, str] | None = None,
        fills_window: bool = False,
    ) -> Response:
        """`names`: field of the chat request -> field of the API that it was made from, for errors.

        `fills_window`: an answer may end with the window where max_tokens goes beyond it.
        """
        with named_for_client(names or {}):
            model = await self._admission.served_model(chat)
            generations = from_chat(chat, model, fills_window)
        return await self.respond(request, chat, reply, model, generations, names)

    async def respond(
        self,
        request: Request,
        parameters: GenerationParameters,
        reply: Reply,
        model: ServedModel,
        generations: Sequence[GenerationRequest],
        names: Mapping[str, str] | None = None,
    ) -> Response:
        if request.state.key.tokens_per_minute is not None:
            # Of a whole answer that its client does not wait for, nobody would know how much was made.
            generations = [generation.streamed() for generation in generations]
        slots = self._admission.slots(request, parameters, model, generations)
        answer = Answer(
            reply, slots, names or {}, lambda take: Choices(self._triton, model, generations, take)
        )
        if parameters.is_stream:
            return EventStream(answer, self._keep_alive_s)
        await until_disconnect(request.receive, answer.collect())
        return JSONResponse(reply.whole())


class Answer:
    """One of them: a token's way from its generation to the client's connection leads through here."""

    def __init__(
        self, reply: Reply, slots: Slots, names: Mapping[str, str], choices: Callable[[Take], Choices]
    ) -> None:
        self._reply = reply
        self._slots = slots
        self._names = names
        self._make_choices = choices

    async def collect(self) -> None:
        """For an answer that comes whole."""
        add = self._reply.add

        def take(deltas: Sequence[Delta]) -> None:
            for delta in deltas:
                add(delta)

        await self._run(take)

    async def run(self, push: Callable[[bytes], None]) -> None:
        """For a stream: what comes together is one write."""
        events = self._reply.events

        def take(deltas: Sequence[Delta]) -> None:
            push(events(deltas[0]) if len(deltas) == 1 else b"".join(map(events, deltas)))

        await self._run(take)
        push(self._reply.end())

    def failed(self, error: ApiError) -> bytes:
        return self._reply.failed(error)

    def pause(self) -> None:
        self._choices.pause()

    def resume(self) -> None:
        self._choices.resume()

    async def _run(self, take: Take) -> None:
        """Nothing is generated before there are slots; they are given back at the end."""
        count = self._slots.count

        def take_and_count(deltas: Sequence[Delta]) -> None:
            count(deltas)
            take(deltas)

        self._choices = self._make_choices(take_and_count)
        with named_for_client(self._names):
            async with self._slots:
                await self._choices.run()
