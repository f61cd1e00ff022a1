"""What every checkpoint format is reduced to: sizes, and float32 tensors by their Hugging Face names."""

import math
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from build.errors import BuildError

EMBEDDING = "model.embed_tokens.weight"
OUTPUT = "lm_head.weight"
FINAL_NORM = "model.norm.weight"


@dataclass(frozen=True)
class LlamaConfig:
    """Sizes of a Llama decoder, max_model_len in tokens; raises BuildError when they don't fit together."""

    num_layers: int
    hidden_size: int
    intermediate_size: int
    num_heads: int
    num_kv_heads: int
    head_size: int
    vocab_size: int
    max_model_len: int
    norm_epsilon: float
    rope_frequencies: tuple[float, ...]
    is_tied: bool

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is int and value <= 0:
                raise BuildError(f"The model's {field.name} must be above 0, not {value}.")
        # Above all that there are; a damaged file's numbers would fill the memory.
        for name, most in (("num_layers", 1_000), ("max_model_len", 1 << 24)):
            if getattr(self, name) > most:
                raise BuildError(f"The model's {name} must be {most} at most, not {getattr(self, name)}.")
        if self.num_heads % self.num_kv_heads:
            raise BuildError(
                f"The model's {self.num_heads} heads can't share {self.num_kv_heads} key/value heads."
            )
        if not all(math.isfinite(number) for number in (self.norm_epsilon, *self.rope_frequencies)):
            raise BuildError("The model's norm_epsilon and rotary frequencies must be finite.")


class Checkpoint(Protocol):
    """A readable model of Llama architecture."""

    @property
    def config(self) -> LlamaConfig: ...

    def tensor(self, name: str) -> NDArray[np.float32]:
        """The tensor in Hugging Face layout: [outputs, inputs], rotary halves one after the other."""
        ...


def finite(name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The values; raises BuildError where one is NaN or infinite."""
    if not np.isfinite(values).all():
        raise BuildError(f"The model's tensor {name} has values that are no finite numbers.")
    return values


def head_size_of(hidden_size: int, num_heads: int) -> int:
    """The head size of a model that doesn't state it."""
    if num_heads <= 0 or hidden_size % num_heads:
        raise BuildError(f"The model's hidden size {hidden_size} is no multiple of its {num_heads} heads.")
    return hidden_size // num_heads


def layer_tensor(layer: int, name: str) -> str:
    return f"model.layers.{layer}.{name}.weight"


def layer_shapes(config: LlamaConfig) -> dict[str, tuple[int, ...]]:
    """Shapes of one decoder layer's tensors, by their names within the layer."""
    hidden, inner = config.hidden_size, config.intermediate_size
    queries, keys = config.num_heads * config.head_size, config.num_kv_heads * config.head_size
    return {
        "input_layernorm": (hidden,),
        "self_attn.q_proj": (queries, hidden),
        "self_attn.k_proj": (keys, hidden),
        "self_attn.v_proj": (keys, hidden),
        "self_attn.o_proj": (hidden, queries),
        "post_attention_layernorm": (hidden,),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
    }


def tensor_shapes(config: LlamaConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor that a checkpoint of this config has, with its shape."""
    shapes: dict[str, tuple[int, ...]] = {EMBEDDING: (config.vocab_size, config.hidden_size)}
    for layer in range(config.num_layers):
        shapes |= {layer_tensor(layer, name): shape for name, shape in layer_shapes(config).items()}
    shapes[FINAL_NORM] = (config.hidden_size,)
    if not config.is_tied:
        shapes[OUTPUT] = (config.vocab_size, config.hidden_size)
    return shapes


def check_shapes(config: LlamaConfig, found: dict[str, tuple[int, ...]], ignored: set[str]) -> None:
    """Raises BuildError unless exactly the tensors of a Llama of this config were found."""
    expected = tensor_shapes(config)
    for name, shape in expected.items():
        if name not in found:
            raise BuildError(f"The model lacks the tensor {name}.")
        if found[name] != shape:
            raise BuildError(f"The model's tensor {name} has shape {found[name]}, expected {shape}.")
    unknown = found.keys() - expected.keys() - ignored
    if unknown:
        raise BuildError(f"The model has a tensor that a Llama has not: {min(unknown)}.")
