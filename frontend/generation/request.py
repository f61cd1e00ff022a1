"""What is asked of the engine for one sequence, and the message that asks Triton for it."""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from tritonclient.grpc import service_pb2

from frontend.generation.logprobs import PROMPT_OUTPUTS
from frontend.triton.model import IDS_OUTPUTS, ServedModel
from frontend.triton.response import IDS, LOGPROBS, TOP_OUTPUTS
from frontend.triton.tensors import TensorValue, add_input

REUSED_BLOCKS = "kv_cache_reused_blocks"
# Asked for so that Triton leaves out postprocess but not the engine: docs/architecture.md, "Pruning".
SPARING_OUTPUTS = ("num_output_tokens", "cum_log_probs")


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One sequence to generate: the ensemble's inputs and what the frontend itself does with the text."""

    index: int
    inputs: Mapping[str, TensorValue]
    conversation: bytes | None
    """The same for prompts that begin alike, so that one Triton's cache serves them all."""
    max_new_tokens: int | None
    ends_at_stop_ids: bool
    stop_token_ids: frozenset[int]
    min_tokens: int
    """No stop string ends a text before its next token."""
    stop_strings: tuple[str, ...]
    keeps_stop_string: bool
    keeps_special_tokens: bool
    kept_special: frozenset[bytes]
    """Names of special tokens that the text keeps in any case."""
    field_names: Mapping[str, str]
    """Input of the engine -> the client's field that filled it, for errors."""
    wants_logprobs: bool
    num_top_logprobs: int
    scores_prompt: bool

    @property
    def is_streamed(self) -> bool:
        """Whether the engine sends tokens as they come."""
        return bool(self.inputs["stream"])

    def streamed(self) -> "GenerationRequest":
        """The same, of which the engine sends tokens as they come."""
        return replace(self, inputs={**self.inputs, "stream": True})

    @property
    def wants_scores(self) -> bool:
        """Whether log-probs of any kind are asked for."""
        return bool(self.wants_logprobs or self.num_top_logprobs or self.scores_prompt)


def infer_request(generation: GenerationRequest, model: ServedModel) -> service_pb2.ModelInferRequest:
    # Ids must be unique: the engine stops by id, and a reused one would replace the running generation.
    ensemble = model.ensemble if generation.wants_scores else model.ids_ensemble
    request = service_pb2.ModelInferRequest(model_name=ensemble, id=uuid.uuid4().hex)
    request.parameters["triton_enable_empty_final_response"].bool_param = True
    for name, value in generation.inputs.items():
        add_input(request, name, value, model.input_types[name])
    for name in _wanted_outputs(generation, model):
        request.outputs.add(name=name)
    return request


def _wanted_outputs(generation: GenerationRequest, model: ServedModel) -> Iterator[str]:
    if not generation.wants_scores:
        yield from IDS_OUTPUTS
        return
    yield from (IDS, "num_input_tokens", *SPARING_OUTPUTS)
    if model.tokens_per_block is not None:
        yield REUSED_BLOCKS
    if generation.num_top_logprobs:
        yield from TOP_OUTPUTS
    elif generation.wants_logprobs:
        yield LOGPROBS
    if generation.scores_prompt:
        yield from PROMPT_OUTPUTS
