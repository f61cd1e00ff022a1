"""Runs one generation: Triton's responses -> text, tokens, log-probs, finish reason and counts."""

import codecs
import logging
import struct
import uuid
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal

from tritonclient.grpc import service_pb2

from frontend.api.chat.translation import named_for_client
from frontend.api.generation_request import GenerationRequest
from frontend.errors import EngineFailed
from frontend.generation.prompt_scores import PROMPT_OUTPUTS, PromptScore, read_prompt_scores
from frontend.generation.stop_strings import StopStrings
from frontend.generation.top_tokens import TOP_OUTPUTS, TopToken, read_top_tokens
from frontend.triton.conversation import conversation_key
from frontend.triton.model import IDS_OUTPUTS, ServedModel
from frontend.triton.response import IDS, EngineResponse
from frontend.triton.responses import alike, join_responses
from frontend.triton.tensors import add_input, read_floats, read_ids
from frontend.triton.triton import Triton

logger = logging.getLogger(__name__)

FinishReason = Literal["stop", "length"]

REUSED_BLOCKS = "kv_cache_reused_blocks"
# Asked for so that Triton leaves out postprocess but not the engine: docs/architecture.md, "Pruning".
SPARING_OUTPUTS = ("num_output_tokens", "cum_log_probs")


@dataclass(frozen=True, slots=True)
class Token:
    """A generated token, its log-prob, and the likeliest tokens in its place, the best first."""

    bytes: bytes
    logprob: float
    top: tuple[TopToken, ...] = ()
    is_in_text: bool = True
    """False for a special token that the text leaves out."""


@dataclass(slots=True)
class Delta:
    """What one response of the engine adds, or several that came together.

    Counts are those of the whole generation so far. Not frozen: that would take twice as long to make.
    """

    index: int
    text: str
    tokens: tuple[Token, ...]
    """Only when log-probs are asked for."""
    num_prompt_tokens: int
    num_completion_tokens: int
    finish_reason: FinishReason | None = None
    stop_reason: str | int | None = None
    num_cached_tokens: int | None = None
    """Of the prompt, those that the engine had computed before; None: it does not tell."""
    prompt_scores: tuple[PromptScore, ...] = ()
    """Of the prompt's tokens but the first; in the first delta alone, and only when asked for."""


async def generate(
    triton: Triton, model: ServedModel, generation: GenerationRequest
) -> AsyncGenerator[Delta, None]:
    """Deltas in order, the last one with a finish reason; closing it early stops the engine."""
    reader = _ResponseReader(model, generation)
    request = _infer_request(model, generation)
    conversation = conversation_key(generation.inputs)
    is_streamed = bool(generation.inputs["stream"])
    # The engine's refusals name its tensors; the client knows fields.
    with named_for_client(generation.field_names):
        async with aclosing(triton.infer(request, conversation, is_streamed)) as batches:
            async for batch in batches:
                for responses in alike(batch):
                    try:
                        delta = await reader.read(triton, responses)
                    except (LookupError, ValueError, struct.error) as error:
                        logger.exception("the engine's answer to %s is malformed", request.id)
                        raise EngineFailed("The engine answered with a malformed tensor.") from error
                    yield delta
                    if delta.finish_reason is not None:
                        return


def _require_datatypes(response: EngineResponse, declared: Mapping[str, str]) -> None:
    """Raises ValueError for an output that is not declared, or of another datatype."""
    for name, datatype, *_ in response.surroundings.tensors:
        if datatype != declared.get(name):
            raise ValueError(f"{name} is {datatype}, not {declared.get(name)}")


def _infer_request(model: ServedModel, generation: GenerationRequest) -> service_pb2.ModelInferRequest:
    # Ids must be unique: the engine stops by id, and a reused one would replace the running generation.
    ensemble = model.ids_ensemble if _is_of_ids_alone(generation) else model.ensemble
    request = service_pb2.ModelInferRequest(model_name=ensemble, id=uuid.uuid4().hex)
    request.parameters["triton_enable_empty_final_response"].bool_param = True
    for name, value in generation.inputs.items():
        add_input(request, name, value, model.input_types[name])
    for name in _wanted_outputs(model, generation):
        request.outputs.add(name=name)
    return request


def _is_of_ids_alone(generation: GenerationRequest) -> bool:
    return not (generation.wants_logprobs or generation.num_top_logprobs or generation.scores_prompt)


def _wanted_outputs(model: ServedModel, generation: GenerationRequest) -> Iterator[str]:
    if _is_of_ids_alone(generation):
        yield from IDS_OUTPUTS
        return
    yield from (IDS, "num_input_tokens", *SPARING_OUTPUTS)
    if model.tokens_per_block is not None:
        yield REUSED_BLOCKS
    if generation.num_top_logprobs:
        yield from TOP_OUTPUTS
    elif generation.wants_logprobs:
        yield "output_log_probs"
    if generation.scores_prompt:
        yield from PROMPT_OUTPUTS


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
        self._num_prompt_tokens = 0
        self._num_cached_tokens: int | None = None
        self._num_tokens = 0
        self._is_first = True

    async def read(self, triton: Triton, responses: Sequence[EngineResponse]) -> Delta:
        """Takes responses that can be joined; raises ApiError, and what a malformed tensor raises."""
        outputs = join_responses(responses)
        if self._is_first:
            self._read_constants(responses[0], outputs)
        ids = self._new_ids(outputs)
        pieces = await triton.spell(ids)
        top = await read_top_tokens(triton, outputs, self._generation.num_top_logprobs)
        scores = await read_prompt_scores(triton, outputs)
        return self._delta(outputs, ids, pieces, top, scores, responses[-1].surroundings.is_final)

    def _read_constants(self, response: EngineResponse, outputs: Mapping[str, bytes]) -> None:
        """Once a stream: no token need pay for it, and not every engine repeats what never changes."""
        _require_datatypes(response, self._model.output_datatypes)
        self._num_prompt_tokens = read_ids(outputs["num_input_tokens"])[0]
        if self._model.tokens_per_block is not None and REUSED_BLOCKS in outputs:
            self._num_cached_tokens = read_ids(outputs[REUSED_BLOCKS])[0] * self._model.tokens_per_block

    def _new_ids(self, outputs: Mapping[str, bytes]) -> list[int]:
        if self._generation.max_new_tokens == 0:
            return []
        return read_ids(outputs[IDS])

    def _delta(
        self,
        outputs: Mapping[str, bytes],
        ids: list[int],
        pieces: list[bytes],
        top: Sequence[tuple[TopToken, ...]],
        scores: tuple[PromptScore, ...],
        is_last: bool,
    ) -> Delta:
        logprobs = self._logprobs(outputs, len(ids))
        if self._generation.scores_prompt and self._is_first and len(scores) != self._num_prompt_tokens - 1:
            raise EngineFailed("The engine did not score the whole prompt.")
        self._is_first = False
        self._num_tokens += len(ids)
        stop_id = ids[-1] if is_last and ids and ids[-1] in self._stop_ids else None
        if stop_id is not None:
            ids, pieces = ids[:-1], pieces[:-1]
        tokens = self._tokens(ids, pieces, logprobs, top)
        text = self._stop_strings.feed(self._decode(ids, pieces, is_last))
        if is_last:
            text += self._stop_strings.flush()
        finish_reason = self._finish(is_last, stop_id)
        return Delta(
            index=self._generation.index,
            text=text,
            tokens=tokens,
            num_prompt_tokens=self._num_prompt_tokens,
            num_completion_tokens=self._num_tokens,
            num_cached_tokens=self._num_cached_tokens,
            prompt_scores=scores,
            finish_reason=finish_reason,
            stop_reason=self._stop_reason(stop_id),
        )

    def _logprobs(self, outputs: Mapping[str, bytes], num_ids: int) -> list[float]:
        if not self._generation.wants_logprobs or num_ids == 0:
            return []
        if self._generation.num_top_logprobs:
            return read_floats(outputs["chosen_log_probs"])
        # The engine repeats the log-probs of all tokens so far in every response.
        return read_floats(outputs["output_log_probs"], skip=self._num_tokens)

    def _tokens(
        self,
        ids: Sequence[int],
        pieces: Sequence[bytes],
        logprobs: Sequence[float],
        top: Sequence[tuple[TopToken, ...]],
    ) -> tuple[Token, ...]:
        """As many as there are pieces: a stop id has a log-prob and a row but is no part of the text."""
        if not logprobs:
            return ()
        rows = top or [()] * len(pieces)
        in_text = (self._is_in_text(id_, piece) for id_, piece in zip(ids, pieces, strict=True))
        return tuple(Token(*token) for token in zip(pieces, logprobs, rows, in_text, strict=False))

    def _is_in_text(self, token_id: int, piece: bytes) -> bool:
        generation = self._generation
        return (
            generation.keeps_special_tokens
            or token_id not in self._model.special_ids
            or piece in generation.kept_special
        )

    def _decode(self, ids: list[int], pieces: list[bytes], is_last: bool) -> str:
        shown = [piece for id_, piece in zip(ids, pieces, strict=True) if self._is_in_text(id_, piece)]
        return self._utf8.decode(b"".join(shown), is_last)

    def _stop_reason(self, stop_id: int | None) -> str | int | None:
        """The string or id of the client's that ended the text; the model's own end ids are none of them."""
        if self._stop_strings.matched is not None:
            return self._stop_strings.matched
        return stop_id if stop_id in self._generation.stop_token_ids else None

    def _finish(self, is_last: bool, stop_id: int | None) -> FinishReason | None:
        if self._stop_strings.matched is not None:
            return "stop"
        if not is_last:
            return None
        if stop_id is not None:
            return "stop"
        window = self._model.max_model_len - self._num_prompt_tokens
        wanted = window if self._generation.max_new_tokens is None else self._generation.max_new_tokens
        if self._num_tokens >= min(wanted, window):
            return "length"
        # Ended before its length: by the end id, which the engine does not return but which was generated.
        self._num_tokens += 1
        return "stop"
