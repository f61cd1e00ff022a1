"""One generation's call of ModelStreamInfer, read to its end by a task of its own."""

import asyncio
from collections.abc import Callable
from typing import TypeAlias

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from frontend.deadlines import Deadlines
from frontend.errors import ApiError, DeadlineExceeded, EngineFailed, EngineUnavailable, RequestTimeout
from frontend.triton_errors import engine_error, stream_error

_Received: TypeAlias = "asyncio.Queue[service_pb2.ModelInferResponse | ApiError | None]"
_Call: TypeAlias = (
    "grpc.aio.StreamStreamCall[service_pb2.ModelInferRequest, service_pb2.ModelStreamInferResponse]"
)

# What Triton may take to end a call whose final response it has sent.
END_TIMEOUT_S = 5.0
# What may wait for a client that reads more slowly than the engine writes: about 12,000 tokens.
MAX_WAITING_BYTES = 32 * 1024 * 1024
# A response of one token takes 2.7 KB where it waits, and 0.2 KB on its way.
WAITING_RESPONSE_BYTES = 2500
# So few are not measured, as a reader that keeps up has none or one.
FEW_WAITING = 64


class GenerationStream:
    """Responses up to the final one. A task reads the call to its very end, whoever waits for it or not:

    gRPC cancels a call whose reader is cancelled, tritonserver 2.51 does not shut down in time when a call is
    cancelled at its final response, and a generation that is given up must be seen to end.
    """

    def __init__(
        self,
        stub: service_pb2_grpc.GRPCInferenceServiceStub,
        request: service_pb2.ModelInferRequest,
        deadlines: Deadlines,
        started_at: float,
        is_streamed: bool,
    ) -> None:
        """`started_at` is the loop's time; an answer that comes whole has only the deadline for all of it."""
        self.request = request
        self.is_begun = False
        """Whether the server may know of it."""
        self.has_answered = False
        self.has_ended = False
        """Whether the engine is known to have finished with it."""
        self.was_lost = False
        """Whether the connection broke after the request was sent, so that the engine may run on."""
        self._token_s = deadlines.token_s if is_streamed else deadlines.total_s
        self._last_moment = started_at + deadlines.total_s
        first_moment = started_at + (deadlines.first_token_s if is_streamed else deadlines.total_s)
        self.expires_at = min(first_moment, self._last_moment)
        self._received: _Received = asyncio.Queue()
        self._is_too_far_behind = False
        self._stub = stub
        self._reading = asyncio.create_task(self._read())

    async def next(self) -> service_pb2.ModelInferResponse | None:
        """None behind the final response; raises ApiError."""
        item = await self._received.get()
        if isinstance(item, ApiError):
            raise item
        return item

    def fail(self, error: ApiError) -> None:
        """Gives the reader an error in place of what may still come."""
        if not self.has_ended:
            self._received.put_nowait(error)

    def expire(self) -> None:
        self.fail(DeadlineExceeded("The engine did not answer in time."))
        if self.has_ended:
            self.cancel()
        # Whoever reads stops the engine; nothing more is due to the client.
        self.expires_at = float("inf")

    def cancel(self) -> None:
        """Ends the call, which does not reach the engine in an ensemble."""
        self._reading.cancel()

    def on_end(self, callback: Callable[[], None]) -> None:
        """Calls back when the call has ended, for whatever reason."""
        self._reading.add_done_callback(lambda _: callback())

    async def ended(self, timeout_s: float | None = None) -> bool:
        """Whether the call has ended within that time."""
        return bool((await asyncio.wait({self._reading}, timeout=timeout_s))[0])

    async def _read(self) -> None:
        self.is_begun = True
        call = self._stub.ModelStreamInfer()
        was_sent = False
        try:
            await call.write(self.request)
            was_sent = True
            await call.done_writing()
            await self._read_responses(call)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            error = engine_error(await call.code(), await call.details() or "")
            self.was_lost = was_sent and not self.has_ended and isinstance(error, EngineUnavailable)
            self._end(error)

    async def _read_responses(self, call: _Call) -> None:
        now = asyncio.get_running_loop().time
        async for message in call:
            if self.has_ended:
                continue
            if message.error_message:
                self._end(stream_error(message.error_message))
            else:
                self.has_answered = True
                self.expires_at = min(now() + self._token_s, self._last_moment)
                self._deliver(message.infer_response)
                if is_final(message.infer_response):
                    self._end(None)
        self._end(EngineFailed("The engine ended the stream without a final response."))

    def _deliver(self, response: service_pb2.ModelInferResponse) -> None:
        """Up to the bound; behind it there is an error, and then nothing."""
        num_waiting = self._received.qsize()
        if num_waiting > FEW_WAITING and not self._is_too_far_behind:
            size = response.ByteSize() + WAITING_RESPONSE_BYTES
            self._is_too_far_behind = num_waiting * size > MAX_WAITING_BYTES
            if self._is_too_far_behind:
                self.fail(RequestTimeout("The answer was not read fast enough."))
        if not self._is_too_far_behind:
            self._received.put_nowait(response)

    def _end(self, error: ApiError | None) -> None:
        if not self.has_ended:
            self.has_ended = True
            self.expires_at = asyncio.get_running_loop().time() + END_TIMEOUT_S
            self._received.put_nowait(error)


def is_final(response: service_pb2.ModelInferResponse) -> bool:
    return bool(response.parameters["triton_final_response"].bool_param)
