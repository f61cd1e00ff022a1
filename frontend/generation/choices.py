"""Runs the generations of one request side by side, and gives what they add to whoever answers."""

import asyncio
import logging
import struct
from collections.abc import Callable, Sequence
from typing import TypeAlias

from frontend.errors import EngineFailed, named_for_client
from frontend.generation.delta import Delta
from frontend.generation.request import GenerationRequest, infer_request
from frontend.generation.text import TextReader
from frontend.triton.model import ServedModel
from frontend.triton.response import EngineResponse
from frontend.triton.stream import GenerationStream
from frontend.triton.triton import Triton

logger = logging.getLogger(__name__)

# Called in the event loop with what came together; what it raises ends the request.
Take: TypeAlias = Callable[[Sequence[Delta]], None]


class Choices:
    """All generations of a request; their deltas come as they are made, each generation's in order."""

    def __init__(
        self, triton: Triton, model: ServedModel, requests: Sequence[GenerationRequest], take: Take
    ) -> None:
        self._generations = [Generation(triton, model, request, take) for request in requests]

    async def run(self) -> None:
        """Returns when all have ended; the first error ends all. Cancelling it stops the engine."""
        if len(self._generations) == 1:
            await self._generations[0].run()
            return
        tasks = [asyncio.create_task(generation.run()) for generation in self._generations]
        try:
            for done in asyncio.as_completed(tasks):
                await done
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def pause(self) -> None:
        """What comes from now on waits: the client does not read."""
        for generation in self._generations:
            generation.pause()

    def resume(self) -> None:
        for generation in self._generations:
            generation.resume()


class Generation:
    """One of them: from Triton's responses to deltas, without a task or a wait in between."""

    def __init__(self, triton: Triton, model: ServedModel, request: GenerationRequest, take: Take) -> None:
        self._triton = triton
        self._model = model
        self._request = request
        self._take = take
        self._reader = TextReader(model, request)
        self._stream: GenerationStream | None = None
        self._is_paused = False

    async def run(self) -> None:
        """Raises ApiError, or what the taker raised."""
        request = self._request
        # The engine's refusals name its tensors; the client knows fields.
        with named_for_client(request.field_names):
            try:
                await self._triton.infer(
                    infer_request(request, self._model), request.conversation, request.is_streamed, self
                )
            except EngineFailed as error:
                if error.__cause__ is not None:
                    logger.error("the engine's answer is malformed", exc_info=error)
                raise

    def attach(self, stream: GenerationStream) -> None:
        self._stream = stream
        if self._is_paused:
            stream.pause()

    def receive(self, responses: Sequence[EngineResponse]) -> bool:
        """Whether the text has ended; what came before a malformed response is not lost."""
        deltas: list[Delta] = []
        try:
            for response in responses:
                deltas.append(self._reader.read(response))
                if deltas[-1].finish_reason is not None:
                    break
        except (LookupError, ValueError, struct.error) as error:
            raise EngineFailed("The engine answered with a malformed tensor.") from error
        finally:
            if deltas:
                self._take(deltas)
        return deltas[-1].finish_reason is not None

    def pause(self) -> None:
        self._is_paused = True
        if self._stream is not None:
            self._stream.pause()

    def resume(self) -> None:
        self._is_paused = False
        if self._stream is not None:
            self._stream.resume()
