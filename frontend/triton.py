"""The gRPC client: one ModelStreamInfer a generation, stopped by a request of its own.

Cancelling a call on an ensemble does not reach its decoupled step (seen on tritonserver 2.51), so a
generation that is given up is stopped as TensorRT-LLM's backend provides: by a request to
`tensorrt_llm` with the same id and stop = true.
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from typing import Any, TypeAlias

import grpc
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from frontend.errors import (
    ApiError,
    DeadlineExceeded,
    EngineFailed,
    EngineOverloaded,
    EngineUnavailable,
    InvalidRequest,
)
from frontend.served_model import ENGINE_MODEL, ServedModel, ensemble_steps, served_model
from frontend.tensors import TensorValue, add_input, read_byte_strings, read_ids, read_outputs
from frontend.token_spelling import TokenSpelling

logger = logging.getLogger(__name__)

_Received: TypeAlias = "asyncio.Queue[service_pb2.ModelInferResponse | ApiError | None]"
_Call: TypeAlias = (
    "grpc.aio.StreamStreamCall[service_pb2.ModelInferRequest, service_pb2.ModelStreamInferResponse]"
)

PREPROCESS_MODEL = "preprocess"
POSTPROCESS_MODEL = "postprocess"
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
UNARY_TIMEOUT_S = 5.0
# The stop request is repeated until the generation has ended: the first may overtake the generation itself.
STOP_INTERVAL_S = 0.1
STOP_ATTEMPTS = 100

_CHANNEL_OPTIONS = [
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # A restarted Triton is found again at once instead of after gRPC's default of up to two minutes.
    ("grpc.max_reconnect_backoff_ms", 1000),
]
# Makes Triton end a failed stream with a gRPC status instead of a text (its inference_protocols.md).
_STATUS_METADATA = (("triton_grpc_error", "true"),)
_INT32 = model_config_pb2.DataType.TYPE_INT32
_STOP_TYPES = {
    "input_lengths": _INT32,
    "request_output_len": _INT32,
    "stop": model_config_pb2.DataType.TYPE_BOOL,
}


class Triton:
    """A Triton server with the ensemble `model`; every error it raises is an ApiError."""

    def __init__(self, address: str, model: str) -> None:
        self._model = model
        self._channel = grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._served_model: ServedModel | None = None
        self._spelling = TokenSpelling(self)
        self._tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=UNARY_TIMEOUT_S)
        await self._channel.close(None)

    async def is_ready(self) -> bool:
        try:
            request = service_pb2.ModelReadyRequest(name=self._model)
            return bool((await self._stub.ModelReady(request, timeout=UNARY_TIMEOUT_S)).ready)
        except grpc.aio.AioRpcError:
            return False

    async def served_model(self) -> ServedModel:
        """Facts of the served model; read again after Triton was away."""
        if self._served_model is None:
            ensemble = await self._config(self._model)
            steps = {name: await self._config(name) for name in ensemble_steps(ensemble)}
            self._served_model = served_model(ensemble, steps, created=int(time.time()))
        return self._served_model

    async def preprocess(self, model: ServedModel, inputs: Mapping[str, TensorValue]) -> list[int]:
        """Token ids of the prompt that these inputs of the ensemble make."""
        request = service_pb2.ModelInferRequest(model_name=PREPROCESS_MODEL)
        for name, value in inputs.items():
            add_input(request, name, value, model.input_types[name])
        request.outputs.add(name="input_ids")
        return read_ids(read_outputs(await self._infer_once(request))["input_ids"])

    async def postprocess(self, ids: Sequence[int]) -> list[bytes]:
        """The bytes of each token id."""
        request = service_pb2.ModelInferRequest(model_name=POSTPROCESS_MODEL)
        add_input(request, "output_ids", ids, _INT32, rank=3)
        add_input(request, "sequence_length", len(ids), _INT32)
        request.outputs.add(name="output_bytes")
        return read_byte_strings(read_outputs(await self._infer_once(request))["output_bytes"])

    async def spell(self, ids: Sequence[int]) -> list[bytes]:
        """As `postprocess`, for ids that come again and again; forgotten after Triton was away."""
        return await self._spelling.spell(ids)

    async def _infer_once(self, request: service_pb2.ModelInferRequest) -> service_pb2.ModelInferResponse:
        try:
            return await self._stub.ModelInfer(request, timeout=UNARY_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise self._rpc_error(error.code(), error.details() or "") from error

    async def infer(
        self, request: service_pb2.ModelInferRequest
    ) -> AsyncGenerator[service_pb2.ModelInferResponse, None]:
        """Responses of one generation up to the final one; closing it early stops the engine."""
        received: _Received = asyncio.Queue()
        # A task of its own reads the call: gRPC cancels a call whose reader is cancelled, and a generation
        # that is given up must be read to its end to know that the engine has stopped.
        reading = self._start(self._read(request, received))
        is_ended = False
        try:
            while (item := await received.get()) is not None:
                if isinstance(item, ApiError):
                    is_ended = True
                    raise item
                is_ended = is_final(item)
                yield item
        finally:
            if not is_ended:
                self._start(self._stop_until_ended(reading, request.id))

    async def _read(self, request: service_pb2.ModelInferRequest, received: _Received) -> None:
        call = self._stub.ModelStreamInfer(metadata=_STATUS_METADATA)
        is_ended = False
        try:
            await call.write(request)
            await call.done_writing()
            # To the very end, beyond the final response: tritonserver 2.51 does not shut down in time when
            # a call is cancelled just then.
            async for message in call:
                if message.error_message:
                    received.put_nowait(_engine_error(grpc.StatusCode.INTERNAL, message.error_message))
                    is_ended = True
                elif not is_ended:
                    received.put_nowait(message.infer_response)
                    is_ended = is_final(message.infer_response)
            received.put_nowait(
                None if is_ended else EngineFailed("The engine ended the stream without a final response.")
            )
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            received.put_nowait(await self._failure(call))

    async def _failure(self, call: _Call) -> ApiError:
        return self._rpc_error(await call.code(), await call.details())

    def _rpc_error(self, code: grpc.StatusCode, details: str) -> ApiError:
        if code == grpc.StatusCode.UNAVAILABLE:
            self._served_model = None
            self._spelling = TokenSpelling(self)
        return _engine_error(code, details)

    def _start(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """A task that outlives its caller, which may be in the middle of being cancelled."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _stop_until_ended(self, reading: "asyncio.Task[None]", request_id: str) -> None:
        for _ in range(STOP_ATTEMPTS):
            await self._send_stop(request_id)
            if (await asyncio.wait({reading}, timeout=STOP_INTERVAL_S))[0]:
                return
        logger.error("generation %s did not end after %d stop requests", request_id, STOP_ATTEMPTS)
        reading.cancel()

    async def _send_stop(self, request_id: str) -> None:
        request = service_pb2.ModelInferRequest(model_name=ENGINE_MODEL, id=request_id)
        for name, value in (("input_lengths", 1), ("request_output_len", 1), ("stop", True)):
            add_input(request, name, value, _STOP_TYPES[name])
        call = self._stub.ModelStreamInfer(timeout=UNARY_TIMEOUT_S)
        try:
            await call.write(request)
            await call.done_writing()
            async for _ in call:
                pass
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            logger.warning("stop request for %s failed: %s", request_id, await call.details())

    async def _config(self, name: str) -> model_config_pb2.ModelConfig:
        try:
            request = service_pb2.ModelConfigRequest(name=name)
            return (await self._stub.ModelConfig(request, timeout=UNARY_TIMEOUT_S)).config
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                raise EngineUnavailable("The model is not loaded.") from error
            raise _engine_error(error.code(), error.details() or "") from error


def is_final(response: service_pb2.ModelInferResponse) -> bool:
    return bool(response.parameters["triton_final_response"].bool_param)


def _engine_error(code: grpc.StatusCode, details: str) -> ApiError:
    """A failure as the client may see it: only errors in the models' JSON form keep their text."""
    if code == grpc.StatusCode.INVALID_ARGUMENT and (error := _own_error(details)):
        return error
    logger.error("Triton answered %s: %s", code.name, details)
    # Triton's "Exceeds maximum queue size", and the executor's "Maximum queue size of 8 has been reached".
    if "maximum queue size" in details.lower():
        return EngineOverloaded("The engine's queue is full.")
    # "Stub process 'preprocess_0_0' is not healthy": a Python model has died, until Triton is restarted.
    if code == grpc.StatusCode.UNAVAILABLE or "Stub process" in details:
        return EngineUnavailable("The engine is not available.")
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded("The engine did not answer in time.")
    return EngineFailed("The engine failed to process the request.")


def _own_error(details: str) -> InvalidRequest | None:
    """`in ensemble 'ensemble', {"message": ..., "param": ..., "code": ...}` -> the error that it carries."""
    try:
        error = json.loads(details[details.index("{") :])
        return InvalidRequest(str(error["message"]), error["param"], error["code"])
    except (ValueError, KeyError, TypeError):
        return None
