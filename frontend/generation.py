"""Runs one generation: Triton's responses -> text, tokens, log-probs, finish reason and counts."""

import codecs
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal

from tritonclient.grpc import service_pb2

from frontend.chat_translation import named_for_client
from frontend.errors import EngineFailed
from frontend.generation_request import GenerationRequest
from frontend.served_model import ServedModel
from frontend.stop_strings import StopStrings
from frontend.tensors import add_input, read_byte_strings, read_floats, read_ids, read_outputs
from frontend.top_tokens import TOP_IDS, TOP_LOGPROBS, TopToken, read_top_tokens
from frontend.triton import Triton, is_final

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Token:
    """A generated token, its log-prob, and the likeliest tokens in its place, the best first."""

    bytes: bytes
    logprob: float
    top: tuple[TopToken, ...] = ()


@dataclass(frozen=True, slots=True)
class Delta:
    """What one response of the engine adds; counts are those of the whole generation so far."""

    index: int
    text: str
    tokens: tuple[Token, ...]
    """Only when log-probs are asked for."""
    num_prompt_tokens: int
    num_completion_tokens: int
    finish_reason: FinishReason | None = None
    stop_reason: str | int | None = None


async def generate(
    triton: Triton, model: ServedModel, generation: GenerationRequest
) -> AsyncGenerator[Delta, None]:
    """Deltas in order, the last one with a finish reason; closing it early stops the engine."""
    reader = _ResponseReader(model, generation)
    # The engine's refusals name its tensors; the client knows fields.
    with named_for_client(generation.field_names):
        async with aclosing(triton.infer(_infer_request(model, generation))) as responses:
            async for response in responses:
                outputs = read_outputs(response)
                top = await read_top_tokens(triton, outputs) if generation.num_top_logprobs else []
                delta = reader.read(outputs, top, is_final(response))
                yield delta
                if delta.finish_reason is not None:
                    return


def _infer_request(model: ServedModel, generation: GenerationRequest) -> service_pb2.ModelInferRequest:
    # Ids must be unique: the engine stops by id, and a reused one would replace the running generation.
    request = service_pb2.ModelInferRequest(model_name=model.ensemble, id=uuid.uuid4().hex)
    request.parameters["triton_enable_empty_final_response"].bool_param = True
    for name, value in generation.inputs.items():
        add_input(request, name, value, model.input_types[name])
    for name in ("output_ids", "output_bytes", "num_input_tokens"):
        request.outputs.add(name=name)
    if generation.wants_logprobs:
        request.outputs.add(name="output_log_probs")
    if generation.num_top_logprobs:
        request.outputs.add(name=TOP_IDS)
        request.outputs.add(name=TOP_LOGPROBS)
    return request


class _ResponseReader:
    """The state of one generation between its responses."""

    def __init__(self, model: ServedModel, generation: GenerationRequest) -> None:
        self._model = model
        self._generation = generation
        self._stop_strings = StopStrings(generation.stop_strings, generation.keeps_stop_string)
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._stop_ids = generation.stop_token_ids
        if generation.ends_at_stop_ids:
            self._stop_ids |= model.stop_ids
        self._num_tokens = 0

    def read(self, outputs: Mapping[str, bytes], top: Sequence[tuple[TopToken, ...]], is_last: bool) -> Delta:
        ids, pieces, logprobs, num_prompt_tokens = self._unpack(outputs)
        self._num_tokens += len(ids)
        stop_id = ids[-1] if is_last and ids and ids[-1] in self._stop_ids else None
        if stop_id is not None:
            ids, pieces = ids[:-1], pieces[:-1]
        text = self._stop_strings.feed(self._decode(ids, pieces, is_last))
        if is_last:
            text += self._stop_strings.flush()
        finish_reason = self._finish(is_last, stop_id, num_prompt_tokens)
        return Delta(
            index=self._generation.index,
            text=text,
            tokens=_tokens(pieces, logprobs, top),
            num_prompt_tokens=num_prompt_tokens,
            num_completion_tokens=self._num_tokens,
            finish_reason=finish_reason,
            stop_reason=self._stop_reason(stop_id),
        )

    def _unpack(self, outputs: Mapping[str, bytes]) -> tuple[list[int], list[bytes], list[float], int]:
        try:
            ids = read_ids(outputs["output_ids"])
            logprobs: list[float] = []
            if self._generation.wants_logprobs:
                # The engine repeats the log-probs of all tokens so far in every response.
                logprobs = read_floats(outputs["output_log_probs"], skip=self._num_tokens)
            return (
                ids,
                read_byte_strings(outputs["output_bytes"]),
                logprobs,
                read_ids(outputs["num_input_tokens"])[0],
            )
        except (KeyError, IndexError) as error:
            raise EngineFailed("The engine's answer lacks a tensor.") from error

    def _decode(self, ids: list[int], pieces: list[bytes], is_last: bool) -> str:
        if not self._generation.keeps_special_tokens:
            special, kept = self._model.special_ids, self._generation.kept_special
            pieces = [
                piece for id_, piece in zip(ids, pieces, strict=True) if id_ not in special or piece in kept
            ]
        return self._utf8.decode(b"".join(pieces), is_last)

    def _stop_reason(self, stop_id: int | None) -> str | int | None:
        """The string or id of the client's that ended the text; the model's own end ids are none of them."""
        if self._stop_strings.matched is not None:
            return self._stop_strings.matched
        return stop_id if stop_id in self._generation.stop_token_ids else None

    def _finish(self, is_last: bool, stop_id: int | None, num_prompt_tokens: int) -> FinishReason | None:
        if self._stop_strings.matched is not None:
            return "stop"
        if not is_last:
            return None
        if stop_id is not None:
            return "stop"
        window = self._model.max_model_len - num_prompt_tokens
        if self._num_tokens >= min(self._generation.max_new_tokens or window, window):
            return "length"
        # Ended before its length: by the end id, which the engine does not return but which was generated.
        self._num_tokens += 1
        return "stop"


def _tokens(
    pieces: Sequence[bytes], logprobs: Sequence[float], top: Sequence[tuple[TopToken, ...]]
) -> tuple[Token, ...]:
    """As many as there are pieces: a stop id has a log-prob and a row but is no part of the text."""
    rows = top or [()] * len(pieces)
    return tuple(Token(*token) for token in zip(pieces, logprobs, rows, strict=False))
