"""One generation's call of ModelStreamInfer, read to its end; its responses are handed on as they come."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from google.protobuf.message import DecodeError
from grpc import StatusCode
from tritonclient.grpc import service_pb2

from frontend.errors import ApiError, DeadlineExceeded, EngineFailed, EngineUnavailable, RequestTimeout
from frontend.grpc_client.call import GrpcCall
from frontend.grpc_client.channel import GrpcChannel
from frontend.grpc_client.connection import GrpcConnection
from frontend.grpc_client.status import GrpcError, GrpcStatus
from frontend.triton.deadlines import Deadlines
from frontend.triton.errors import engine_error
from frontend.triton.response import EngineResponse, ResponseReader
from frontend.triton.service import MODEL_STREAM_INFER

# What Triton may take to end a call whose final response it has sent.
END_TIMEOUT_S = 5.0
# What may wait for a client that reads more slowly than the engine writes: about 12,000 tokens at least.
MAX_WAITING_BYTES = 32 * 1024 * 1024
# A response of one token takes 2.7 KB where it waits unless it repeats the one before, and 0.2 KB on its way.
WAITING_RESPONSE_BYTES = 2500
# So few are no sign of a slow reader, however large they are.
FEW_WAITING = 64
# Handed on at once after a pause, before it is seen whether the client still reads: 13 KB of events.
SLICE = 64


class Receiver(Protocol):
    """Whoever reads a generation; called in the event loop."""

    def attach(self, stream: "GenerationStream") -> None:
        """Where its responses come from now, until another attempt takes its place."""

    def receive(self, responses: Sequence[EngineResponse]) -> bool:
        """Whether it wants no more; what it raises ends the generation."""


class GenerationStream:
    """Responses up to the final one. The call is read to its very end, whoever waits for it or not:

    tritonserver 2.51 does not shut down in time when a call is cancelled at its final response, and a
    generation that is given up must be seen to end.
    """

    def __init__(
        self,
        channel: GrpcChannel,
        request: service_pb2.ModelInferRequest,
        deadlines: Deadlines,
        started_at: float,
        is_streamed: bool,
        receiver: Receiver,
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
        self._loop = asyncio.get_running_loop()
        self.finished: asyncio.Future[None] = self._loop.create_future()
        """Done when the receiver has all that it gets; raises ApiError, or what the receiver raised."""
        self._receiver = receiver
        self._responses = ResponseReader()
        self._is_paused = False
        self._waiting: list[tuple[EngineResponse, int]] = []
        """With the bytes that each takes."""
        self._num_waiting_bytes = 0
        self._error: ApiError | None = None
        self._is_over = False
        """Whether nothing comes behind what waits but the error, if there is one."""
        self._call_ended: asyncio.Future[None] = self._loop.create_future()
        self._call: tuple[GrpcConnection, GrpcCall] | None = None
        self._connecting: asyncio.Task[None] | None = None
        receiver.attach(self)
        if connection := channel.connection:
            self._begin(connection)
        else:
            self._connecting = asyncio.create_task(self._connect(channel))

    def pause(self) -> None:
        """Keeps what comes, for the client does not read."""
        self._is_paused = True

    def resume(self) -> None:
        """Hands on what waits, as far as it is not paused again."""
        self._is_paused = False
        while self._waiting and not self._is_paused:
            taken, self._waiting = self._waiting[:SLICE], self._waiting[SLICE:]
            self._num_waiting_bytes -= sum(size for _, size in taken)
            self._hand_on([response for response, _ in taken])
        if self._is_over and not self._waiting:
            self._finish(self._error)

    def fail(self, error: ApiError) -> None:
        """Ends it for the receiver, behind what waits."""
        if not self._is_over:
            self._is_over, self._error = True, error
            if not self._waiting:
                self._finish(error)

    def abandon(self) -> None:
        """The receiver wants no more."""
        self._is_over = True
        self._waiting.clear()
        self._finish(None)

    def expire(self) -> None:
        if self.has_ended:
            self.cancel()
        else:
            self.fail(DeadlineExceeded("The engine did not answer in time."))
        # Whoever reads stops the engine; nothing more is due to the client.
        self.expires_at = float("inf")

    def cancel(self) -> None:
        """Ends the call, which does not reach the engine in an ensemble."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._call is not None:
            connection, call = self._call
            connection.cancel(call)

    def when_ended(self, callback: Callable[[], None]) -> None:
        """Calls back when the call has ended, for whatever reason."""
        self._call_ended.add_done_callback(lambda _: callback())

    async def ended(self, timeout_s: float | None = None) -> bool:
        """Whether the call has ended within that time."""
        return bool((await asyncio.wait({self._call_ended}, timeout=timeout_s))[0])

    def on_messages(self, messages: Sequence[bytes]) -> None:
        """Of the call."""
        if self.has_ended:
            return
        responses: list[EngineResponse] = []
        error: ApiError | None = None
        try:
            for message in messages:
                responses.append(self._responses.read(message))
                if responses[-1].surroundings.is_final:
                    break
        except DecodeError:
            error = EngineFailed("The engine answered with something else than a response.")
        except ApiError as told:
            error = told
        if responses:
            self.has_answered = True
            self.expires_at = min(self._loop.time() + self._token_s, self._last_moment)
            self._deliver(responses, messages)
        if error is not None or responses[-1].surroundings.is_final:
            self._end(error)

    def on_end(self, status: GrpcStatus) -> None:
        """Of the call."""
        if not self.has_ended:
            if status.code is StatusCode.OK:
                self._end(EngineFailed("The engine ended the stream without a final response."))
            else:
                error = engine_error(status.code, status.details)
                self.was_lost = self.is_begun and isinstance(error, EngineUnavailable)
                self._end(error)
        # Else the two would hold each other until the next look for garbage.
        self._call = None
        if not self._call_ended.done():
            self._call_ended.set_result(None)

    async def _connect(self, channel: GrpcChannel) -> None:
        try:
            self._begin(await channel.connected())
        except GrpcError as error:
            self.on_end(GrpcStatus(error.code, error.details))
        except asyncio.CancelledError:
            self.on_end(GrpcStatus(StatusCode.CANCELLED))
            raise

    def _begin(self, connection: GrpcConnection) -> None:
        self.is_begun = True
        call = connection.start(MODEL_STREAM_INFER.path, self.request.SerializeToString(), self)
        self._call = connection, call

    def _deliver(self, responses: list[EngineResponse], messages: Sequence[bytes]) -> None:
        """Behind those that wait, up to the bound; behind that there is an error, and then nothing."""
        if self._is_over:
            return
        if not self._is_paused:
            self._hand_on(responses)
            return
        sizes = [len(message) + WAITING_RESPONSE_BYTES for message in messages[: len(responses)]]
        self._num_waiting_bytes += sum(sizes)
        if self._num_waiting_bytes > MAX_WAITING_BYTES and len(self._waiting) > FEW_WAITING:
            self.fail(RequestTimeout("The answer was not read fast enough."))
        else:
            self._waiting += zip(responses, sizes, strict=True)

    def _hand_on(self, responses: list[EngineResponse]) -> None:
        try:
            is_enough = self._receiver.receive(responses)
        except Exception as error:  # whoever awaits the end gets it
            self._is_over = True
            self._waiting.clear()
            self._finish(error)
            return
        if is_enough:
            self.abandon()

    def _end(self, error: ApiError | None) -> None:
        self.has_ended = True
        self.expires_at = self._loop.time() + END_TIMEOUT_S
        if not self._is_over:
            self._is_over, self._error = True, error
            if not self._waiting:
                self._finish(error)

    def _finish(self, error: Exception | None) -> None:
        if self.finished.done():
            return
        if error is None:
            self.finished.set_result(None)
        else:
            self.finished.set_exception(error)
