"""The inputs that the LLM API can't honour as this contract has them, and what they may hold all the same."""

from collections.abc import Mapping
from typing import Any

from contract.errors import InvalidInput
from contract.tensors import Tensors

ADAPTER_INPUT = "lora_task_id"

# The values with which an input asks for nothing.
_NEUTRAL_VALUES: Mapping[str, tuple[Any, ...]] = {
    "beam_width": (1,),
    "num_return_sequences": (1,),
    "len_penalty": (0.0, 1.0),
    "return_context_logits": (False,),
    # The sampler that honours seeds and penalties in 1.2.1 tells the chosen id's log-prob alone.
    "return_generation_logits": (False,),
    "num_prompt_log_probs": (-1,),
    # Adapters are folders here; weights as tensors are the C++ backend's.
    "lora_weights": (),
    "lora_config": (),
}


def unsupported_inputs(has_adapters: bool) -> frozenset[str]:
    """Without adapters, which are declared to the engine when it loads, their choice is no input either."""
    return frozenset(_NEUTRAL_VALUES) | (frozenset() if has_adapters else {ADAPTER_INPUT})


def refuse_unsupported(tensors: Tensors, has_adapters: bool) -> None:
    for name in unsupported_inputs(has_adapters) & tensors.keys():
        neutral = _NEUTRAL_VALUES.get(name, ())
        if any(value not in neutral for value in tensors[name].ravel().tolist()):
            raise InvalidInput(name, "is not supported by this engine.")
