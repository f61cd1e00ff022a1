"""A Llama decoder as an OpenVINO model, in the form that OpenVINO GenAI turns into paged attention."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from build.checkpoint.checkpoint import EMBEDDING, FINAL_NORM, OUTPUT, Checkpoint, LlamaConfig, layer_tensor
from build.cpu.weights import Precision, Weights


@dataclass(frozen=True)
class Inputs:
    """Model inputs: ids, mask and positions are [batch, tokens], beam_idx is [batch]."""

    input_ids: ov.Node
    attention_mask: ov.Node
    position_ids: ov.Node
    beam_idx: ov.Node


@dataclass(frozen=True)
class Attention:
    """What all layers share: the beam order, the mask and the rotation, each [batch, 1, tokens, ...]."""

    beam_idx: ov.Node
    mask: ov.Node
    cosines: ov.Node
    sines: ov.Node


class LlamaGraph:
    """Builds the model of a checkpoint."""

    def __init__(self, checkpoint: Checkpoint, precision: Precision) -> None:
        self._checkpoint = checkpoint
        self._config = checkpoint.config
        self._precision = precision
        self._epsilon = _named("norm_epsilon", _float(self._config.norm_epsilon))
        self._sinks: list[ov.Node] = []

    def build(self, advance: Callable[[], None]) -> ov.Model:
        """The whole model; advances after each layer."""
        inputs = _inputs()
        embedding = self._weight(EMBEDDING)
        hidden = ops.gather(embedding, ops.convert(inputs.input_ids, "i32"), _integer(0))
        attention = _attention(inputs, self._config)
        for layer in range(self._config.num_layers):
            hidden = self._layer(layer, hidden, attention)
            advance()
        output = embedding if self._config.is_tied else self._weight(OUTPUT)
        logits = ops.matmul(self._norm(FINAL_NORM, hidden), output, False, True)
        result = ops.result(logits)
        result.output(0).tensor.set_names({"logits"})
        return ov.Model([result], self._sinks, list(vars(inputs).values()), "llama")

    def _layer(self, layer: int, hidden: ov.Node, attention: Attention) -> ov.Node:
        normed = self._norm(layer_tensor(layer, "input_layernorm"), hidden)
        hidden = ops.add(hidden, self._attend(layer, normed, attention))
        normed = self._norm(layer_tensor(layer, "post_attention_layernorm"), hidden)
        return ops.add(hidden, self._feed_forward(layer, normed))

    def _attend(self, layer: int, hidden: ov.Node, attention: Attention) -> ov.Node:
        config = self._config
        queries, keys, values = self._project(layer, hidden)
        context = ops.scaled_dot_product_attention(
            self._rotate(queries, attention),
            self._cached(f"past_key_values.{layer}.key", self._rotate(keys, attention), attention),
            self._cached(f"past_key_values.{layer}.value", values, attention),
            attention.mask,
        )
        joined = ops.reshape(_swap_heads(context), _integers(0, 0, config.num_heads * config.head_size), True)
        return self._linear(layer, "self_attn.o_proj", joined)

    def _feed_forward(self, layer: int, hidden: ov.Node) -> ov.Node:
        gate = ops.swish(self._linear(layer, "mlp.gate_proj", hidden))
        up = self._linear(layer, "mlp.up_proj", hidden)
        return self._linear(layer, "mlp.down_proj", ops.multiply(gate, up))

    def _project(self, layer: int, hidden: ov.Node) -> Iterator[ov.Node]:
        """Queries, keys and values by one product: three small ones take longer for a single token."""
        names = [layer_tensor(layer, f"self_attn.{name}_proj") for name in "qkv"]
        weights = np.concatenate([self._checkpoint.tensor(name) for name in names])
        projected = ops.matmul(
            hidden, self._store(names[0].replace("q_proj", "qkv_proj"), weights), False, True
        )
        config = self._config
        counts = (config.num_heads, config.num_kv_heads, config.num_kv_heads)
        lengths = _integers(*(count * config.head_size for count in counts))
        for count, part in zip(
            counts, ops.variadic_split(projected, _integer(2), lengths).outputs(), strict=True
        ):
            yield _swap_heads(ops.reshape(part, _integers(0, 0, count, config.head_size), True))

    def _rotate(self, heads: ov.Node, attention: Attention) -> ov.Node:
        half = self._config.head_size // 2
        first, second = ops.variadic_split(heads, _integer(3), _integers(half, half)).outputs()
        turned = ops.concat([ops.multiply(second, _float(-1.0)), first], -1)
        return ops.add(ops.multiply(heads, attention.cosines), ops.multiply(turned, attention.sines))

    def _cached(self, name: str, current: ov.Node, attention: Attention) -> ov.Node:
        """Appends to the state of this name and repeats each key/value head for its query heads."""
        heads, size = self._config.num_kv_heads, self._config.head_size
        batch = ops.gather(ops.shape_of(attention.beam_idx), _integers(0), _integer(0))
        empty = ops.broadcast(_float(0.0), ops.concat([batch, _integers(heads, 0, size)], 0))
        past = ops.read_value(empty, name, ov.Type.f32, ov.PartialShape([-1, heads, -1, size]))
        whole = ops.concat([ops.gather(past, attention.beam_idx, _integer(0)), current], 2)
        self._sinks.append(ops.assign(whole, name))
        repeats = self._config.num_heads // heads
        if repeats == 1:
            return whole
        spread = ops.broadcast(
            ops.unsqueeze(whole, _integer(2)), _integers(1, 1, repeats, 1, 1), broadcast_spec="BIDIRECTIONAL"
        )
        return ops.reshape(spread, _integers(0, self._config.num_heads, -1, size), True)

    def _linear(self, layer: int, name: str, hidden: ov.Node) -> ov.Node:
        return ops.matmul(hidden, self._weight(layer_tensor(layer, name)), False, True)

    def _norm(self, name: str, hidden: ov.Node) -> ov.Node:
        squares = ops.power(hidden, _float(2.0))
        mean = ops.reduce_mean(squares, _integers(-1), keep_dims=True)
        root = ops.sqrt(ops.add(mean, self._epsilon))
        scale = _named(name, ops.constant(self._checkpoint.tensor(name).reshape(1, 1, -1)))
        return ops.multiply(scale, ops.multiply(hidden, ops.divide(_float(1.0), root)))

    def _weight(self, name: str) -> ov.Node:
        return self._store(name, self._checkpoint.tensor(name))

    def _store(self, name: str, weights: Weights) -> ov.Node:
        return _named(name, self._precision.of(name)(weights))


def _inputs() -> Inputs:
    return Inputs(*(_parameter(name, rank, kind) for name, rank, kind in _INPUTS))


_INPUTS = (
    ("input_ids", 2, ov.Type.i64),
    ("attention_mask", 2, ov.Type.i64),
    ("position_ids", 2, ov.Type.i64),
    ("beam_idx", 1, ov.Type.i32),
)


def _parameter(name: str, rank: int, kind: ov.Type) -> ov.Node:
    node = ops.parameter(ov.PartialShape([-1] * rank), kind)
    # GenAI's conversion to paged attention finds inputs by the node's name as well as by the tensor's.
    node.set_friendly_name(name)
    node.output(0).tensor.set_names({name})
    return node


def _attention(inputs: Inputs, config: LlamaConfig) -> Attention:
    rope = np.array(config.rope_frequencies, dtype=np.float32)
    frequencies = _named("rope_frequencies", ops.constant(rope.reshape(1, 1, -1)))
    positions = ops.unsqueeze(ops.convert(inputs.position_ids, "f32"), _integer(-1))
    angles = ops.multiply(positions, frequencies)
    both_halves = ops.concat([angles, angles], -1)
    cosines, sines = (ops.unsqueeze(f(both_halves), _integer(1)) for f in (ops.cos, ops.sin))
    return Attention(inputs.beam_idx, _causal_mask(inputs), cosines, sines)


def _causal_mask(inputs: Inputs) -> ov.Node:
    """True where a token may look: at unmasked tokens up to itself; [batch, 1, tokens, all tokens]."""
    total = ops.gather(ops.shape_of(inputs.attention_mask), _integer(1), _integer(0))
    current = ops.gather(ops.shape_of(inputs.input_ids), _integer(1), _integer(0))
    columns = ops.range(_integer(0), total, _integer(1), "i64")
    rows = ops.range(ops.subtract(total, current), total, _integer(1), "i64")
    causal = ops.less_equal(columns, ops.unsqueeze(rows, _integer(1)))
    present = ops.unsqueeze(ops.not_equal(inputs.attention_mask, _integer(0)), _integers(1, 2))
    return ops.logical_and(causal, present)


def _named(name: str, node: ov.Node) -> ov.Node:
    """Model_repository's decoder_weights.py finds weights by name."""
    node.set_friendly_name(name)
    return node


def _swap_heads(node: ov.Node) -> ov.Node:
    return ops.transpose(node, _integers(0, 2, 1, 3))


def _integer(value: int) -> ov.Node:
    return ops.constant(value, dtype=np.int64)


def _integers(*values: int) -> ov.Node:
    return ops.constant(np.array(values, dtype=np.int64))


def _float(value: float) -> ov.Node:
    return ops.constant(value, dtype=np.float32)
