"""The inputs of TensorRT-LLM that this engine can't honour, and what they may hold all the same."""

from collections.abc import Mapping
from typing import Any

from contract.errors import InvalidInput
from contract.tensors import Tensors

# The values with which an input asks for nothing.
_NEUTRAL_VALUES: Mapping[str, tuple[Any, ...]] = {
    "beam_width": (1,),
    "num_return_sequences": (1,),
    # TensorRT-LLM's own default is 0, that of clients 1; neither does anything without beams.
    "len_penalty": (0.0, 1.0),
    "return_context_logits": (False,),
    # Adapters would need weights per sequence in the graph, which is compiled once.
    "lora_task_id": (),
    "lora_weights": (),
    "lora_config": (),
}

UNSUPPORTED_INPUTS = frozenset(_NEUTRAL_VALUES)


def refuse_unsupported(tensors: Tensors) -> None:
    for name in UNSUPPORTED_INPUTS & tensors.keys():
        if any(value not in _NEUTRAL_VALUES[name] for value in tensors[name].ravel().tolist()):
            raise InvalidInput(name, "is not supported by this engine.")
