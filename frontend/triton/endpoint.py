"""One Triton: its channel, whether it works, what it serves, and the generations that run there."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from grpc import StatusCode
from tritonclient.grpc import model_config_pb2, service_pb2

from frontend.errors import ApiError, DeadlineExceeded, EngineFailed, EngineOverloaded, EngineUnavailable
from frontend.grpc_client.channel import GrpcChannel
from frontend.grpc_client.status import GrpcError
from frontend.triton.deadlines import Deadlines, Sweeper
from frontend.triton.errors import engine_error
from frontend.triton.model import ServedModel, ensemble_steps, ids_ensemble, served_model
from frontend.triton.running_ids import RunningIds
from frontend.triton.service import MODEL_CONFIG, MODEL_INFER, MODEL_READY
from frontend.triton.stop import send_stop, stop_until_ended
from frontend.triton.stream import GenerationStream, Receiver
from frontend.triton.tensors import INT32, TensorValue, add_input, read_byte_strings, read_ids, read_outputs

logger = logging.getLogger(__name__)

PREPROCESS_MODEL = "preprocess"
POSTPROCESS_MODEL = "postprocess"
UNARY_TIMEOUT_S = 5.0
# A megabyte of text keeps preprocess busy for about a second; what takes longer than this is no load.
PROBE_TIMEOUT_S = 10.0
# Probes without an answer in a row, while no stream of here moves either: two may be load, or a pause.
MAX_LATE = 3
# Ids whose bytes are asked for at once: Llama 3.1's whole vocabulary takes 16 requests of a few ms.
VOCABULARY_BLOCK = 8192
# The id of the requests that only ask whether a model still answers.
PROBE_ID = "frontend-probe"

Admit: TypeAlias = Callable[[ServedModel], ServedModel]


class Endpoint:
    """Every error it raises is an ApiError."""

    def __init__(self, address: str, model: str, sweeper: Sweeper, admit: Admit, running: RunningIds) -> None:
        """`address` is a target in gRPC's syntax; `admit` may refuse what it serves, by an ApiError."""
        self._running = running
        self.address = address
        self.served: ServedModel | None = None
        """What it serves; None while it does not work."""
        self._model = model
        self._sweeper = sweeper
        self._admit = admit
        self._channel = GrpcChannel(address)
        self._streams: set[GenerationStream] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._probing: asyncio.Task[None] | None = None
        self._complaint: str | None = None
        self._num_late = 0
        self._expiries: dict[GenerationStream, float] = {}
        """Of the streams at the last late probe; each response moves its own."""

    @property
    def num_running(self) -> int:
        """Generations that the engine may still be working on."""
        return len(self._streams)

    async def close(self) -> None:
        """Waits for stop requests under way, but not for generations."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=UNARY_TIMEOUT_S)
        ending = [task for task in (*self._tasks, self._probing) if task is not None]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        self._channel.close()

    async def retire(self) -> None:
        """Closes it when the last generation has ended."""
        self.served = None
        for stream in tuple(self._streams):
            await stream.ended()
        await self.close()

    async def probe(self) -> bool:
        """Whether it works, asked now; callers at the same time share one answer."""
        if self._probing is None or self._probing.done():
            self._probing = asyncio.create_task(self._probe())
        await asyncio.shield(self._probing)
        return self.served is not None

    def start(
        self,
        request: service_pb2.ModelInferRequest,
        deadlines: Deadlines,
        started_at: float,
        is_streamed: bool,
        receiver: Receiver,
    ) -> GenerationStream:
        stream = GenerationStream(self._channel, request, deadlines, started_at, is_streamed, receiver)
        self._streams.add(stream)
        self._sweeper.add(stream)
        self._running.add(request.id)
        stream.when_ended(lambda: self._forget(stream))
        return stream

    def leave(self, stream: GenerationStream) -> None:
        """Nobody waits for it any more: the engine is stopped unless it has finished."""
        stream.abandon()
        if not stream.is_begun:
            stream.cancel()
        elif not stream.has_ended or stream.was_lost:
            # A task that outlives its caller, which may be in the middle of being cancelled.
            self._start(stop_until_ended(self._channel, stream))

    async def stop(self, request_ids: Sequence[str]) -> None:
        """Ends generations of a worker that has died; the engine answers for unknown ids, too."""
        await asyncio.gather(
            *(send_stop(self._channel, request_id) for request_id in request_ids), return_exceptions=True
        )

    def complain(self, reason: str) -> None:
        """Takes it out of service and says so, once for the same reason."""
        self.served = None
        if reason != self._complaint:
            self._complaint = reason
            logger.warning("%s is out of service: %s", self.address, reason)

    async def preprocess(self, model: ServedModel, inputs: Mapping[str, TensorValue]) -> list[int]:
        request = service_pb2.ModelInferRequest(model_name=PREPROCESS_MODEL)
        for name, value in {**inputs, "tokenize_only": True}.items():
            add_input(request, name, value, model.input_types[name])
        request.outputs.add(name="input_ids")
        return read_ids(read_outputs(await self._infer(request, UNARY_TIMEOUT_S))["input_ids"])

    async def _probe(self) -> None:
        try:
            await self._require_ready()
            served = self.served or self._admit(await self._read_served_model())
            await asyncio.gather(self._probe_preprocess(served), self._probe_engine())
            if not served.vocabulary:
                served = replace(served, vocabulary=await self._read_vocabulary(served.vocab_size))
            self._serve(served)
        except EngineOverloaded:
            return
        except DeadlineExceeded as error:
            self._num_late = 0 if self._has_progressed() else self._num_late + 1
            if self._num_late >= MAX_LATE:
                self.complain(error.message)
        except ApiError as error:
            self.complain(error.message)

    def _has_progressed(self) -> bool:
        """Whether responses have come since the last late probe: a late answer is no sign of death then."""
        before, self._expiries = self._expiries, {stream: stream.expires_at for stream in self._streams}
        return any(before.get(stream, moment) != moment for stream, moment in self._expiries.items())

    def _serve(self, served: ServedModel) -> None:
        self._num_late = 0
        if self.served is None:
            self.served = self._admit(served)
            self._complaint = None
            logger.info("%s serves %s", self.address, ", ".join(served.names))

    async def _require_ready(self) -> None:
        # Not grpc.health.v1: tritonserver 2.51 answers Check the same for every name and has no Watch.
        request = service_pb2.ModelReadyRequest(name=self._model)
        try:
            is_ready = (await self._channel.ask(MODEL_READY, request, PROBE_TIMEOUT_S)).ready
        except GrpcError as error:
            if error.code == StatusCode.DEADLINE_EXCEEDED:
                raise DeadlineExceeded("it does not answer in time.") from error
            raise EngineUnavailable(f"it can't be reached ({error.code.name}).") from error
        if not is_ready:
            raise EngineUnavailable("The model is not ready.")

    async def _read_served_model(self) -> ServedModel:
        ensemble = await self._config(self._model)
        steps = {name: await self._config(name) for name in ensemble_steps(ensemble)}
        ids = await self._config(ids_ensemble(ensemble))
        return served_model(ensemble, ids, steps, created=int(time.time()))

    async def _read_vocabulary(self, vocab_size: int) -> list[bytes]:
        """The bytes of each id, which postprocess alone knows, and which never change."""
        pieces: list[bytes] = []
        for first in range(0, vocab_size, VOCABULARY_BLOCK):
            request = _postprocess_request(range(first, min(first + VOCABULARY_BLOCK, vocab_size)))
            outputs = read_outputs(await self._infer(request, UNARY_TIMEOUT_S))
            pieces += read_byte_strings(outputs["output_bytes"])
        if len(pieces) != vocab_size:
            raise EngineFailed(f"It spells {len(pieces)} of its {vocab_size} tokens.")
        return pieces

    async def _config(self, name: str) -> model_config_pb2.ModelConfig:
        try:
            request = service_pb2.ModelConfigRequest(name=name)
            return (await self._channel.ask(MODEL_CONFIG, request, UNARY_TIMEOUT_S)).config
        except GrpcError as error:
            raise engine_error(error.code, error.details) from error

    async def _probe_preprocess(self, model: ServedModel) -> None:
        """Triton calls a model ready whose process has died, and is silent on what ran there (2.51)."""
        request = service_pb2.ModelInferRequest(model_name=PREPROCESS_MODEL, id=PROBE_ID)
        add_input(request, "text_input", ".", model.input_types["text_input"])
        request.outputs.add(name="input_ids")
        await self._infer(request, PROBE_TIMEOUT_S)

    async def _probe_engine(self) -> None:
        """As for preprocess; what runs here when the engine or postprocess has died would wait for ever."""
        request = _postprocess_request([0])
        request.id = PROBE_ID
        try:
            await send_stop(self._channel, PROBE_ID, PROBE_TIMEOUT_S)
            await self._infer(request, PROBE_TIMEOUT_S)
        except EngineUnavailable as error:
            for stream in self._streams:
                stream.fail(error)
            raise

    async def _infer(
        self, request: service_pb2.ModelInferRequest, timeout_s: float
    ) -> service_pb2.ModelInferResponse:
        try:
            return await self._channel.ask(MODEL_INFER, request, timeout_s)
        except GrpcError as error:
            raise engine_error(error.code, error.details) from error

    def _forget(self, stream: GenerationStream) -> None:
        self._running.remove(stream.request.id)
        self._streams.discard(stream)
        self._sweeper.discard(stream)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _postprocess_request(ids: Sequence[int]) -> service_pb2.ModelInferRequest:
    request = service_pb2.ModelInferRequest(model_name=POSTPROCESS_MODEL)
    add_input(request, "output_ids", ids, INT32, rank=3)
    add_input(request, "sequence_length", len(ids), INT32)
    request.outputs.add(name="output_bytes")
    return request
