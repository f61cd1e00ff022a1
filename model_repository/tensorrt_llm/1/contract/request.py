"""What one request wants generated; everything that can be wrong with its tensors is found here."""

from dataclasses import dataclass

from sampling.logit_edits import LogitEdit
from sampling.logit_ranking import NUM_RANKED
from sampling.requested_edits import Guides, end_edits, penalty_edits, word_edits

from contract.errors import InvalidInput
from contract.sampling import Sampling, read_sampling
from contract.stop_word_ids import Word, read_words
from contract.tensors import Tensors, read_flag, read_ids, read_integer
from contract.unsupported_inputs import refuse_unsupported


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """max_model_len counts prompt and generated ids together."""

    vocab_size: int
    max_model_len: int


@dataclass(frozen=True, slots=True, eq=False)
class EngineRequest:
    """end_id is None when nothing but the length ends the text; the edits are this request's alone.

    num_prompt_log_probs counts the alternatives told of each id of the prompt; -1: the prompt has no scores.
    """

    prompt_ids: list[int]
    max_new_tokens: int
    min_new_tokens: int
    end_id: int | None
    stop_words: tuple[Word, ...]
    sampling: Sampling
    edits: tuple[LogitEdit, ...]
    is_streaming: bool
    repeats_prompt: bool
    num_prompt_log_probs: int
    returns_log_probs: bool
    returns_generation_logits: bool
    returns_perf_metrics: bool
    returns_num_input_tokens: bool
    returns_num_output_tokens: bool

    @property
    def num_prompt_tokens(self) -> int:
        return len(self.prompt_ids)


def read_request(tensors: Tensors, limits: ModelLimits, guides: Guides) -> EngineRequest:
    """Raises InvalidInput with the name of the first tensor that can't be honoured."""
    refuse_unsupported(tensors)
    prompt_ids: list[int] = read_ids(tensors, "input_ids", limits.vocab_size)[0].tolist()
    wanted = read_integer(tensors, "request_output_len", 0, low=1)
    max_new_tokens = min(wanted, _room_after(len(prompt_ids), limits))
    min_new_tokens = min(read_integer(tensors, "min_tokens", 0, low=0, high=wanted), max_new_tokens)
    end_id = read_integer(tensors, "end_id", -1, low=-1, high=limits.vocab_size - 1)
    stop_words = read_words(tensors, "stop_words_list", limits.vocab_size)
    end_ids = {word[0] for word in stop_words if len(word) == 1} | ({end_id} - {-1})
    sampling = read_sampling(tensors)
    streaming = read_flag(tensors, "streaming")
    return EngineRequest(
        prompt_ids=prompt_ids,
        max_new_tokens=max_new_tokens,
        min_new_tokens=min_new_tokens,
        end_id=None if end_id == -1 else end_id,
        stop_words=stop_words,
        sampling=sampling,
        edits=(
            *penalty_edits(sampling, prompt_ids, limits.vocab_size),
            *word_edits(tensors, limits.vocab_size),
            *end_edits(tensors, end_ids, min_new_tokens, guides),
        ),
        is_streaming=streaming,
        repeats_prompt=not streaming and not read_flag(tensors, "exclude_input_in_output"),
        num_prompt_log_probs=read_integer(tensors, "num_prompt_log_probs", -1, low=-1, high=NUM_RANKED),
        returns_log_probs=read_flag(tensors, "return_log_probs"),
        returns_generation_logits=read_flag(tensors, "return_generation_logits"),
        returns_perf_metrics=read_flag(tensors, "return_perf_metrics"),
        returns_num_input_tokens=read_flag(tensors, "return_num_input_tokens"),
        returns_num_output_tokens=read_flag(tensors, "return_num_output_tokens"),
    )


def _room_after(num_prompt_tokens: int, limits: ModelLimits) -> int:
    room = limits.max_model_len - num_prompt_tokens
    if room < 1:
        raise InvalidInput(
            "input_ids",
            f"{num_prompt_tokens} ids leave no room in the model's {limits.max_model_len}.",
            "context_length_exceeded",
        )
    return room
