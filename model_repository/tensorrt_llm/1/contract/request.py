"""What one request wants generated, and everything that can be wrong with the tensors that say so."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from contract.sampling import GREEDY, Sampling, read_sampling
from contract.stop_word_ids import Word, read_words
from contract.tensors import InvalidInput, Tensors, read_flag, read_ids, read_integer

# Inputs that an engine may be unable to honour, and the values with which they ask for nothing.
_NEUTRAL_VALUES: Mapping[str, tuple[Any, ...]] = {
    "beam_width": (1,),
    "num_return_sequences": (1,),
    # TensorRT-LLM's own default is 0, that of clients 1; neither does anything without beams.
    "len_penalty": (0.0, 1.0),
    "return_context_logits": (False,),
    "return_generation_logits": (False,),
    "num_prompt_log_probs": (-1,),
}


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """max_model_len counts prompt and generated ids, max_prompt_top the alternatives told of a prompt id."""

    vocab_size: int
    max_model_len: int
    max_prompt_top: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class GenerationRequest:
    """end_id is None when nothing but the length ends the text.

    num_prompt_log_probs counts the alternatives told of each id of the prompt; -1: the prompt has no scores.
    """

    prompt_ids: list[int]
    max_new_tokens: int
    min_new_tokens: int = 0
    end_id: int | None = None
    stop_words: tuple[Word, ...] = ()
    sampling: Sampling = GREEDY
    is_streaming: bool = False
    repeats_prompt: bool = False
    num_prompt_log_probs: int = -1
    returns_log_probs: bool = False
    returns_generation_logits: bool = False
    returns_perf_metrics: bool = False
    returns_num_input_tokens: bool = False
    returns_num_output_tokens: bool = False

    @property
    def end_ids(self) -> set[int]:
        """Each of which alone ends the text."""
        single = {word[0] for word in self.stop_words if len(word) == 1}
        return single if self.end_id is None else single | {self.end_id}


def read_request(tensors: Tensors, limits: ModelLimits, unsupported: Collection[str]) -> GenerationRequest:
    """Raises InvalidInput with the name of the first tensor that can't be honoured."""
    _refuse_unsupported(tensors, unsupported)
    prompt_ids: list[int] = read_ids(tensors, "input_ids", limits.vocab_size)[0].tolist()
    wanted = read_integer(tensors, "request_output_len", 0, low=1)
    max_new_tokens = min(wanted, _room_after(len(prompt_ids), limits))
    end_id = read_integer(tensors, "end_id", -1, low=-1, high=limits.vocab_size - 1)
    streaming = read_flag(tensors, "streaming")
    return GenerationRequest(
        prompt_ids=prompt_ids,
        max_new_tokens=max_new_tokens,
        min_new_tokens=min(read_integer(tensors, "min_tokens", 0, low=0, high=wanted), max_new_tokens),
        end_id=None if end_id == -1 else end_id,
        stop_words=read_words(tensors, "stop_words_list", limits.vocab_size),
        sampling=read_sampling(tensors),
        is_streaming=streaming,
        repeats_prompt=not streaming and not read_flag(tensors, "exclude_input_in_output"),
        num_prompt_log_probs=read_integer(
            tensors, "num_prompt_log_probs", -1, low=-1, high=limits.max_prompt_top
        ),
        returns_log_probs=read_flag(tensors, "return_log_probs"),
        returns_generation_logits=read_flag(tensors, "return_generation_logits"),
        returns_perf_metrics=read_flag(tensors, "return_perf_metrics"),
        returns_num_input_tokens=read_flag(tensors, "return_num_input_tokens"),
        returns_num_output_tokens=read_flag(tensors, "return_num_output_tokens"),
    )


def _refuse_unsupported(tensors: Tensors, unsupported: Collection[str]) -> None:
    for name in tensors.keys() & unsupported:
        neutral = _NEUTRAL_VALUES.get(name, ())
        if any(value not in neutral for value in tensors[name].ravel().tolist()):
            raise InvalidInput(name, "is not supported by this engine.")


def _room_after(num_prompt_tokens: int, limits: ModelLimits) -> int:
    room = limits.max_model_len - num_prompt_tokens
    if room < 1:
        raise InvalidInput(
            "input_ids",
            f"{num_prompt_tokens} ids leave no room in the model's {limits.max_model_len}.",
            "context_length_exceeded",
        )
    return room
