"""The engine as Triton sees it: tensors and a way to answer go in; the LLM API works behind it."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from itertools import zip_longest
from typing import Any, Protocol

from contract.generation import Generation
from contract.request import ModelLimits
from contract.response_stream import ResponseStream, Sender
from contract.tensors import InvalidInput, Tensors, read_flag
from llm_api_request import LlmApiGuide, LlmApiRequest, read_request

# As TensorRT-LLM's cancellation_check_period_ms.
_CANCELLATION_CHECK_PERIOD_S = 0.1
_CLOSED_MESSAGE = "The engine is down."

_log = logging.getLogger("tensorrt_llm")


class Result(Protocol):
    """The LLM API's RequestOutput, while it is written: gives itself after each step."""

    outputs: Sequence[Any]
    cached_tokens: int
    finished: bool

    def __aiter__(self) -> AsyncIterator["Result"]: ...

    def abort(self) -> None: ...


class Runtime(Protocol):
    """The LLM API, behind which TensorRT-LLM's own classes are."""

    def generate(self, request: LlmApiRequest) -> Result:
        """Called within an event loop, in which the result is then read."""

    def try_out(self, guide: LlmApiGuide) -> None: ...

    def shutdown(self) -> None: ...


class LlmApiEngine:
    """Takes requests from any thread; a thread of its own reads the results and sends the responses."""

    def __init__(
        self, runtime: Runtime, limits: ModelLimits, task_ids: Collection[int], tokens_per_block: int
    ) -> None:
        self._runtime = runtime
        self._limits = limits
        self._task_ids = task_ids
        self._tokens_per_block = tokens_per_block
        self._running: dict[asyncio.Task[None], Generation] = {}
        self._is_closing = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="llm-api-results")
        self._thread.start()

    def accept(self, request_id: str, tensors: Tensors, sender: Sender) -> None:
        """Returns at once, done with the tensors; the answer or the refusal goes to the sender."""
        responses = ResponseStream(request_id, sender)
        with responses.telling_failures():
            if read_flag(tensors, "stop"):
                self._accept_stop(request_id, responses)
            else:
                request = read_request(tensors, self._limits, self._task_ids, self._runtime.try_out)
                self._call(self._start, request, Generation(request.wanted, responses))

    def close(self) -> None:
        """Ends what runs with an error, and frees the GPUs."""
        self._call(self._close)
        self._thread.join()
        self._runtime.shutdown()

    def _accept_stop(self, request_id: str, responses: ResponseStream) -> None:
        if not request_id:
            raise InvalidInput("stop", "needs the request id of the requests to stop.")
        self._call(self._stop, request_id, responses)

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        self._loop.call_soon_threadsafe(function, *arguments)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        sweep = self._loop.create_task(self._end_abandoned())
        self._loop.run_forever()
        sweep.cancel()
        self._loop.run_until_complete(asyncio.wait([sweep]))
        self._loop.close()

    def _start(self, request: LlmApiRequest, generation: Generation) -> None:
        if self._is_closing:
            generation.fail(_CLOSED_MESSAGE)
            return
        task = self._loop.create_task(self._generate(request, generation))
        self._running[task] = generation
        task.add_done_callback(self._settle)

    def _stop(self, request_id: str, responses: ResponseStream) -> None:
        """Ends every request of that id, if there is one; then closes the responses."""
        self._end_where(lambda generation: generation.request_id == request_id)
        responses.close()

    def _close(self) -> None:
        self._is_closing = True
        self._end_where(lambda _: True)
        self._stop_loop_when_idle()

    def _end_where(self, is_unwanted: Callable[[Generation], bool]) -> None:
        for task, generation in self._running.items():
            if is_unwanted(generation):
                task.cancel()

    async def _end_abandoned(self) -> None:
        """Triton tells of clients that left only when it is asked."""
        while True:
            await asyncio.sleep(_CANCELLATION_CHECK_PERIOD_S)
            self._end_where(lambda generation: generation.is_abandoned)

    async def _generate(self, request: LlmApiRequest, generation: Generation) -> None:
        result = self._runtime.generate(request)
        num_seen = 0
        try:
            async for step in result:
                generation.num_reused_blocks = step.cached_tokens // self._tokens_per_block
                for token_id, log_prob in new_tokens(step.outputs[0], num_seen):
                    generation.add(token_id, log_prob)
                    # The PyTorch backend returns the end id and what is behind it, compiled engines don't.
                    if generation.is_complete:
                        return
                num_seen = len(step.outputs[0].token_ids)
                generation.send_progress()
        finally:
            if not result.finished:
                result.abort()

    def _settle(self, task: asyncio.Task[None]) -> None:
        """Sends the last response of a task that has ended, in whatever way."""
        generation = self._running.pop(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("request %r: the engine failed", generation.request_id, exc_info=error)
            generation.fail("The engine failed while it wrote this answer.")
        elif task.cancelled() and self._is_closing:
            generation.fail(_CLOSED_MESSAGE)
        else:
            generation.finish()
        self._stop_loop_when_idle()

    def _stop_loop_when_idle(self) -> None:
        if self._is_closing and not self._running:
            self._loop.stop()


def new_tokens(output: Any, num_seen: int) -> Iterator[tuple[int, float | None]]:
    """The ids beyond those, of all so far, with their log-probs where they were asked for.

    The LLM API gives a number for each id, or the likeliest ones by id, among which the chosen one is.
    """
    ids, log_probs = output.token_ids[num_seen:], (output.logprobs or [])[num_seen:]
    for token_id, entry in zip_longest(ids, log_probs[: len(ids)]):
        log_prob = entry if entry is None or isinstance(entry, float) else entry[token_id].logprob
        yield token_id, None if log_prob is None else float(log_prob)
