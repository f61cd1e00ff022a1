"""What one request wants generated, as the LLM API takes it beyond what all engines in Python do."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from contract import request as contract
from contract.request import GenerationRequest, ModelLimits
from contract.stop_word_ids import read_words
from contract.tensors import InvalidInput, Tensors, read_integer, read_text
from llm_api_settings import ADAPTER_INPUT, unsupported_inputs
from numpy.typing import NDArray

_TYPE = "guided_decoding_guide_type"
_GUIDE = "guided_decoding_guide"
_MAX_GUIDE_BYTES = 64 * 1024

# TensorRT-LLM's guide types -> the argument of GuidedDecodingParams.
_ARGUMENTS: Mapping[str, str] = {
    "json": "json_object",
    "json_schema": "json",
    "regex": "regex",
    "ebnf_grammar": "grammar",
}


@dataclass(frozen=True, slots=True)
class LlmApiGuide:
    """type is one of TensorRT-LLM's names: json, json_schema, regex or ebnf_grammar."""

    type: str
    text: str

    @property
    def arguments(self) -> dict[str, str | bool]:
        """Of GuidedDecodingParams."""
        return {_ARGUMENTS[self.type]: self.text or True}


@dataclass(frozen=True, slots=True, eq=False)
class LlmApiRequest:
    wanted: GenerationRequest
    bad_ids: list[int]
    bias: NDArray[np.float32] | None
    guide: LlmApiGuide | None
    task_id: int | None


def read_request(
    tensors: Tensors,
    limits: ModelLimits,
    task_ids: Collection[int],
    try_out_guide: Callable[[LlmApiGuide], None],
) -> LlmApiRequest:
    """Raises InvalidInput with the name of the first tensor that can't be honoured.

    task_ids are those of the LoRA adapters.
    """
    return LlmApiRequest(
        wanted=contract.read_request(tensors, limits, unsupported_inputs(has_adapters=bool(task_ids))),
        bad_ids=_read_bad_ids(tensors, limits.vocab_size),
        bias=_read_bias(tensors, limits.vocab_size),
        guide=_read_guide(tensors, try_out_guide),
        task_id=_read_task_id(tensors, task_ids),
    )


def _read_guide(tensors: Tensors, try_out: Callable[[LlmApiGuide], None]) -> LlmApiGuide | None:
    """try_out raises ValueError or RuntimeError for a guide that can't be compiled: the engine would late."""
    guide = LlmApiGuide(read_text(tensors, _TYPE), read_text(tensors, _GUIDE))
    if not guide.type and not guide.text:
        return None
    if guide.type not in _ARGUMENTS:
        raise InvalidInput(_TYPE, f"must be one of {', '.join(_ARGUMENTS)}, got {guide.type!r}.")
    if not guide.text and guide.type != "json":
        raise InvalidInput(_GUIDE, f"must not be empty when the type is {guide.type}.")
    if len(guide.text.encode()) > _MAX_GUIDE_BYTES:
        raise InvalidInput(_GUIDE, f"is larger than {_MAX_GUIDE_BYTES} bytes.")
    if guide.type == "json":
        return LlmApiGuide("json", "")
    try:
        try_out(guide)
    except (ValueError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or ["no reason is given"])[-1]
        raise InvalidInput(_GUIDE, f"can't be compiled: {reason[:300].rstrip('.')}.") from error
    return guide


def _read_bad_ids(tensors: Tensors, vocab_size: int) -> list[int]:
    """The LLM API takes bad words of several ids as text alone, which it would cut into other ids."""
    words = read_words(tensors, "bad_words_list", vocab_size)
    if any(len(word) > 1 for word in words):
        raise InvalidInput("bad_words_list", "words of more than one token are not supported by this engine.")
    return [word[0] for word in words]


def _read_bias(tensors: Tensors, vocab_size: int) -> Any:
    bias = tensors.get("embedding_bias")
    if bias is None or not bias.size:
        return None
    if bias.size != vocab_size or not np.isfinite(bias).all():
        raise InvalidInput("embedding_bias", f"must be {vocab_size} finite numbers, one for each id.")
    return bias.reshape(-1)


def _read_task_id(tensors: Tensors, task_ids: Collection[int]) -> int | None:
    if not task_ids or ADAPTER_INPUT not in tensors or not tensors[ADAPTER_INPUT].size:
        return None
    task_id = read_integer(tensors, ADAPTER_INPUT, 0, low=0)
    if task_id not in task_ids:
        raise InvalidInput(ADAPTER_INPUT, f"{task_id} is no adapter of this engine.")
    return task_id
