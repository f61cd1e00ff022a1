"""An in-process Triton: the ensemble's side of the gRPC contract, with scripted generations.

It answers ModelConfig from the committed model_repository and refuses tensors that the ensemble does
not declare, so that the frontend is tested against the real border.
"""

import asyncio
import struct
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from frontend.triton.endpoint import PROBE_ID

MODEL_REPOSITORY = Path(__file__).parents[2] / "model_repository"
END_ID = 2
FIRST_TOP_ID = 500
FIRST_PROMPT_ID = 600
FIRST_PROMPT_TOP_ID = 700
# As many as postprocess gives.
NUM_TOP = 20
# Responses that come together are one event: so few are told apart, so that tests may count them.
FEW_RESPONSES = 8
MOMENT_S = 0.03

Token = tuple[int, bytes]
# Datatype, shape, contents.
Output = tuple[str, list[int], bytes]


FIRST_TOKEN_ID = 1000
# The vocabulary grows with what the tests let the engine say; an id never changes its bytes.
_IDS: dict[bytes, int] = {}
# As in the embedded model's vocabulary.
_PIECES: dict[int, bytes] = {0: b"<|endoftext|>", 4: b"<reponame>"}


def tokens(*pieces: str | bytes) -> list[Token]:
    """Ordinary tokens with these bytes, the same id for the same bytes."""
    data = [piece.encode() if isinstance(piece, str) else piece for piece in pieces]
    return [token(_IDS.setdefault(piece, FIRST_TOKEN_ID + len(_IDS)), piece) for piece in data]


def token(token_id: int, piece: bytes) -> Token:
    assert _PIECES.setdefault(token_id, piece) == piece, "an id has the same bytes for ever"
    return token_id, piece


class Vocabulary(Sequence[bytes]):
    """The bytes of each id, as they are now; what tests have not named is its number in angle brackets."""

    def __len__(self) -> int:
        return FIRST_TOKEN_ID + len(_IDS)

    def __getitem__(self, token_id):
        if not 0 <= token_id < len(self):
            raise IndexError(token_id)
        return _PIECES.get(token_id, b"<%d>" % token_id)


@dataclass
class Script:
    """One generation: a response per chunk, then the end."""

    chunks: Sequence[Sequence[Token]] = ()
    ends_by_end_id: bool = True
    num_prompt_tokens: int = 5
    prompt_ids: Sequence[int] | None = None
    """Of what preprocess alone is asked for; else made up."""
    num_reused_blocks: int = 0
    pause_s: float = 0
    """Before each response; where they are few, and streamed, there is a moment at least."""
    answers: Sequence[tuple[dict[str, Output], bool]] | None = None
    """Sent as they are in place of all this, each with its final flag."""
    hangs_at_end: bool = False
    """Whether nothing follows these answers, not even an end."""
    hangs_after: int | None = None
    """Number of responses after which nothing more comes until a stop request."""
    fails_after: int | None = None
    """Number of responses after which the stream fails."""
    status: grpc.StatusCode = grpc.StatusCode.INTERNAL
    details: str = "Executor failed process requestId 7 due to: /secret/path"


@dataclass
class FakeTriton(service_pb2_grpc.GRPCInferenceServiceServicer):
    script: Script = field(default_factory=Script)
    is_ready: bool = True
    is_late: bool = False
    dead_model: str | None = None
    """A model whose process has died, of which Triton says so only when it is asked something."""
    num_running: int = 0
    """Generations that the engine works on."""
    requests: list[service_pb2.ModelInferRequest] = field(default_factory=list)
    stopped_ids: list[str] = field(default_factory=list)
    ended_ids: list[str] = field(default_factory=list)
    stop_ended: threading.Event = field(default_factory=threading.Event)
    """Set once a stopped generation has ended."""
    released: threading.Event = field(default_factory=threading.Event)
    """To be set, from any thread, for the generations that hang to go on."""

    def __post_init__(self) -> None:
        self.configs = {path.parent.name: _config(path) for path in MODEL_REPOSITORY.glob("*/config.pbtxt")}
        # An engine that honours every input: which ones the embedded engine refuses may change.
        self.configs["tensorrt_llm"].parameters["unsupported_inputs"].string_value = ""
        self._stops: dict[str, asyncio.Event] = {}
        """Of the generations that run."""

    def reset(self, script: Script) -> None:
        self.script = script
        self.is_ready = True
        self.dead_model = None
        for seen in (self.requests, self.stopped_ids, self.ended_ids):
            seen.clear()
        self.stop_ended.clear()
        self.released.clear()

    async def ModelReady(self, request, context):  # noqa: N802 - gRPC's name
        if self.is_late:
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "late")
        return service_pb2.ModelReadyResponse(ready=self.is_ready)

    async def ModelConfig(self, request, context):  # noqa: N802 - gRPC's name
        # As far as the tests have named tokens by now.
        self.configs["postprocess"].parameters["vocab_size"].string_value = str(len(Vocabulary()))
        return service_pb2.ModelConfigResponse(config=self.configs[request.name])

    async def ModelInfer(self, request, context):  # noqa: N802 - gRPC's name
        await self._fail_if_dead(request.model_name, context)
        await self._refuse_unknown_inputs(request, context)
        # The vocabulary is asked for when a server is admitted, whatever the tests ask for.
        if request.id != PROBE_ID and request.model_name != "postprocess":
            self.requests.append(request)
            if self.script.fails_after == 0:
                await context.abort(self.script.status, self.script.details)
        if request.model_name == "postprocess":
            try:
                return _spelled(request, self.spelled)
            except IndexError:
                await context.abort(grpc.StatusCode.INTERNAL, "postprocess failed")
        response = service_pb2.ModelInferResponse(model_name=request.model_name, id=request.id)
        made_up = range(FIRST_PROMPT_ID, FIRST_PROMPT_ID + self.script.num_prompt_tokens)
        ids = np.array(self.script.prompt_ids or made_up, "<i4")
        response.outputs.add(name="input_ids", datatype="INT32", shape=[1, len(ids)])
        response.raw_output_contents.append(ids.tobytes())
        return response

    async def ModelStreamInfer(  # noqa: N802 - gRPC's name
        self, requests: AsyncIterator[service_pb2.ModelInferRequest], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[service_pb2.ModelStreamInferResponse]:
        request = await anext(requests)
        # Triton reads to the client's end before it ends the call.
        async for _ in requests:
            pass
        try:
            async for message in self._stream(request, _StreamContext()):
                yield message
        except _Refused as refused:
            yield service_pb2.ModelStreamInferResponse(error_message=str(refused))

    async def _stream(
        self, request: service_pb2.ModelInferRequest, context: "_StreamContext"
    ) -> AsyncIterator[service_pb2.ModelStreamInferResponse]:
        await self._fail_if_dead(request.model_name, context)
        if request.model_name == "tensorrt_llm":
            yield self._stop(request)
            return
        await self._refuse_unknown_inputs(request, context)
        self.requests.append(request)
        assert request.id not in self._stops, "an id must be unique"
        stop = self._stops[request.id] = asyncio.Event()
        self.num_running += 1
        try:
            async for response in self._generate(request, context, stop):
                yield service_pb2.ModelStreamInferResponse(infer_response=response)
        finally:
            del self._stops[request.id]
            self.num_running -= 1
        self.ended_ids.append(request.id)
        if stop.is_set():
            self.stop_ended.set()

    def spelled(self, ids: list[int]) -> list[bytes]:
        """The bytes of each id; raises IndexError for one that is none."""
        return [Vocabulary()[token_id] for token_id in ids]

    def inputs(self, index: int = 0) -> dict[str, object]:
        """Inputs of a received request, decoded."""
        return _decoded_inputs(self.requests[index])

    def _stop(self, request: service_pb2.ModelInferRequest) -> service_pb2.ModelStreamInferResponse:
        declared = {tensor.name for tensor in self.configs["tensorrt_llm"].input if not tensor.optional}
        sent = {tensor.name for tensor in request.inputs}
        assert declared | {"stop"} <= sent, f"stop request lacks {declared - sent}"
        if request.id != PROBE_ID:
            self.stopped_ids.append(request.id)
        if request.id in self._stops:
            self._stops[request.id].set()
        response = service_pb2.ModelInferResponse(model_name="tensorrt_llm", id=request.id)
        response.parameters["triton_final_response"].bool_param = True
        return service_pb2.ModelStreamInferResponse(infer_response=response)

    async def _fail_if_dead(self, model_name: str, context: grpc.aio.ServicerContext) -> None:
        if self.dead_model is not None and model_name in ("ensemble", "ensemble_ids", self.dead_model):
            details = f"Stub process '{self.dead_model}_0_0' is not healthy."
            await context.abort(grpc.StatusCode.INTERNAL, details)

    async def _refuse_unknown_inputs(
        self, request: service_pb2.ModelInferRequest, context: grpc.aio.ServicerContext
    ) -> None:
        types = {tensor.name: tensor.data_type for tensor in self.configs[request.model_name].input}
        for tensor in request.inputs:
            expected = types.get(tensor.name)
            wire = "STRING" if tensor.datatype == "BYTES" else tensor.datatype
            if expected is None or model_config_pb2.DataType.Name(expected) != f"TYPE_{wire}":
                details = f"unexpected inference input '{tensor.name}' for model '{request.model_name}'"
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, details)

    async def _generate(
        self, request: service_pb2.ModelInferRequest, context: "_StreamContext", stop: asyncio.Event
    ) -> AsyncIterator[service_pb2.ModelInferResponse]:
        script = self.script
        if script.answers is not None:
            for outputs, is_final in script.answers:
                yield _response(request.id, outputs, is_final)
            if script.hangs_at_end:
                await stop.wait()
            return
        wanted = {tensor.name for tensor in request.outputs}
        chunks = [*script.chunks, []] if script.ends_by_end_id else list(script.chunks)
        inputs = _decoded_inputs(request)
        is_stream = inputs.get("stream", [False])[0]
        num_prompt_top = inputs.get("num_prompt_log_probs", [-1])[0]
        if not is_stream and script.hangs_after is None and script.fails_after is None:
            chunks = [[token for chunk in chunks for token in chunk]]
        pause_s = script.pause_s or (MOMENT_S if is_stream and len(chunks) <= FEW_RESPONSES else 0)
        num_tokens = 0
        for index, chunk in enumerate(chunks):
            if pause_s:
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(stop.wait(), pause_s)
            if index == script.fails_after:
                await context.abort(script.status, script.details)
            while index == script.hangs_after and not (stop.is_set() or self.released.is_set()):
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(stop.wait(), 0.05)
            num_tokens += len(chunk)
            is_final = stop.is_set() or index == len(chunks) - 1
            outputs = _outputs(chunk, script)
            if "output_log_probs" in wanted:
                outputs |= _log_probs(num_tokens)
            if inputs.get("return_generation_logits", [False])[0] and chunk:
                outputs |= _top_outputs(len(chunk), num_tokens)
            if num_prompt_top >= 0 and index == 0:
                outputs |= _prompt_outputs(script.num_prompt_tokens - 1, num_prompt_top)
            yield _response(request.id, {name: outputs[name] for name in outputs if name in wanted}, is_final)
            if is_final:
                return
        if script.fails_after == len(chunks):
            await context.abort(script.status, script.details)


class _Refused(Exception):
    pass


class _StreamContext:
    """Within a stream Triton says what is wrong in a message, without a status, and ends the call well."""

    async def abort(self, _: grpc.StatusCode, details: str) -> None:
        raise _Refused(details)


def _decoded_inputs(request: service_pb2.ModelInferRequest) -> dict[str, object]:
    return {
        tensor.name: _decode(tensor.datatype, raw)
        for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True)
    }


def _config(path: Path) -> model_config_pb2.ModelConfig:
    return text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())


def _response(request_id: str, outputs: dict[str, Output], is_final: bool) -> service_pb2.ModelInferResponse:
    response = service_pb2.ModelInferResponse(model_name="ensemble", id=request_id)
    response.parameters["triton_final_response"].bool_param = is_final
    for name, (datatype, shape, raw) in outputs.items():
        response.outputs.add(name=name, datatype=datatype, shape=shape)
        response.raw_output_contents.append(raw)
    return response


def _outputs(chunk: Sequence[Token], script: Script) -> dict[str, Output]:
    ids = np.array([token(*pair)[0] for pair in chunk], "<i4")
    return {
        "output_ids": ("INT32", [1, 1, len(chunk)], ids.tobytes()),
        "num_input_tokens": ("INT32", [1, 1], np.array([script.num_prompt_tokens], "<i4").tobytes()),
        "kv_cache_reused_blocks": ("INT32", [1, 1], np.array([script.num_reused_blocks], "<i4").tobytes()),
    }


def _log_probs(num_tokens: int) -> dict[str, Output]:
    """Cumulative, as TensorRT-LLM repeats the log-probs of all tokens so far."""
    logprobs = -0.5 * np.arange(1, num_tokens + 1, dtype="<f4")
    return {"output_log_probs": ("FP32", [1, 1, num_tokens], logprobs.tobytes())}


def _top_outputs(num_new: int, num_tokens: int) -> dict[str, Output]:
    """Of the new tokens alone: at position p of the text the ids 500 + p, 501 + p, ..."""
    positions = np.arange(num_tokens - num_new, num_tokens)
    ids = FIRST_TOP_ID + positions[:, None] + np.arange(NUM_TOP)
    logprobs = np.tile(-0.125 * np.arange(1, NUM_TOP + 1), (num_new, 1))
    shape = [1, num_new, NUM_TOP]
    chosen = -0.5 * np.arange(num_tokens - num_new + 1, num_tokens + 1, dtype="<f4")
    return {
        "chosen_log_probs": ("FP32", [1, num_new], chosen.tobytes()),
        "top_log_prob_ids": ("INT32", shape, ids.astype("<i4").tobytes()),
        "top_log_probs": ("FP32", shape, logprobs.astype("<f4").tobytes()),
    }


def _prompt_outputs(num_scored: int, num_top: int) -> dict[str, Output]:
    """The log-probs -0.25, -0.5, ... and at each position the ids 700, 701, ..."""
    logprobs = -0.25 * np.arange(1, num_scored + 1, dtype="<f4")
    ids = np.tile(FIRST_PROMPT_TOP_ID + np.arange(num_top), (num_scored, 1))
    top = np.tile(-0.125 * np.arange(1, num_top + 1), (num_scored, 1))
    shape = [1, num_scored, num_top]
    return {
        "prompt_log_probs": ("FP32", [1, num_scored], logprobs.tobytes()),
        "prompt_top_log_prob_ids": ("INT32", shape, ids.astype("<i4").tobytes()),
        "prompt_top_log_probs": ("FP32", shape, top.astype("<f4").tobytes()),
    }


def _spelled(
    request: service_pb2.ModelInferRequest, spell: Callable[[list[int]], list[bytes]]
) -> service_pb2.ModelInferResponse:
    assert list(request.inputs[0].shape) == [1, 1, len(request.raw_input_contents[0]) // 4]
    ids = np.frombuffer(request.raw_input_contents[0], "<i4").tolist()
    pieces = spell(ids)
    response = service_pb2.ModelInferResponse(model_name=request.model_name, id=request.id)
    response.outputs.add(name="output_bytes", datatype="BYTES", shape=[1, len(pieces)])
    response.raw_output_contents.append(b"".join(struct.pack("<I", len(piece)) + piece for piece in pieces))
    return response


def _decode(datatype: str, raw: bytes) -> object:
    if datatype == "BYTES":
        values, offset = [], 0
        while offset < len(raw):
            (length,) = struct.unpack_from("<I", raw, offset)
            values.append(raw[offset + 4 : offset + 4 + length].decode())
            offset += 4 + length
        return values
    numpy_type = {"INT32": "<i4", "UINT64": "<u8", "FP32": "<f4", "BOOL": "?"}[datatype]
    return np.frombuffer(raw, numpy_type).tolist()
