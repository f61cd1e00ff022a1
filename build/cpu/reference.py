"""A Llama's logits by plain arithmetic on a checkpoint's own weights: what a new engine is held against.

It shares nothing with the engine but the checkpoint: float32, nothing rounded, rotations as complex numbers.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from build.checkpoint.checkpoint import EMBEDDING, FINAL_NORM, OUTPUT, Checkpoint, layer_tensor

Floats = NDArray[np.float32]


def reference_logits(checkpoint: Checkpoint, ids: Sequence[int]) -> Floats:
    """Of a few ids: [ids, vocabulary]."""
    config = checkpoint.config
    embedding = checkpoint.tensor(EMBEDDING)
    hidden = embedding[list(ids)]
    for layer in range(config.num_layers):
        hidden = hidden + _attend(
            checkpoint, layer, _norm(checkpoint, layer_tensor(layer, "input_layernorm"), hidden)
        )
        normed = _norm(checkpoint, layer_tensor(layer, "post_attention_layernorm"), hidden)
        gate = _product(checkpoint, layer, "mlp.gate_proj", normed)
        inner = gate / (1 + np.exp(-gate)) * _product(checkpoint, layer, "mlp.up_proj", normed)
        hidden = hidden + _product(checkpoint, layer, "mlp.down_proj", inner)
    output = embedding if config.is_tied else checkpoint.tensor(OUTPUT)
    return np.asarray(_norm(checkpoint, FINAL_NORM, hidden) @ output.T, np.float32)


def _attend(checkpoint: Checkpoint, layer: int, hidden: Floats) -> Floats:
    config = checkpoint.config
    count, shared = len(hidden), config.num_heads // config.num_kv_heads

    def heads(name: str) -> Floats:
        product = _product(checkpoint, layer, f"self_attn.{name}_proj", hidden)
        return product.reshape(count, -1, config.head_size).transpose(1, 0, 2)

    turns = np.exp(1j * np.outer(np.arange(count), config.rope_frequencies))
    queries, keys = _turned(heads("q"), turns), _turned(heads("k"), turns).repeat(shared, axis=0)
    scores = queries @ keys.transpose(0, 2, 1) / np.sqrt(config.head_size)
    scores = scores + np.triu(np.full((count, count), -np.inf), 1)
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = shares / shares.sum(-1, keepdims=True) @ heads("v").repeat(shared, axis=0)
    joined = np.asarray(mixed.transpose(1, 0, 2).reshape(count, -1), np.float32)
    return _product(checkpoint, layer, "self_attn.o_proj", joined)


def _turned(heads: Floats, turns: NDArray[np.complex128]) -> Floats:
    first, second = np.split(heads, 2, axis=-1)
    turned = (first + 1j * second) * turns
    return np.asarray(np.concatenate([turned.real, turned.imag], axis=-1), np.float32)


def _product(checkpoint: Checkpoint, layer: int, name: str, rows: Floats) -> Floats:
    return np.asarray(rows @ checkpoint.tensor(layer_tensor(layer, name)).T, np.float32)


def _norm(checkpoint: Checkpoint, name: str, rows: Floats) -> Floats:
    root = np.sqrt((rows * rows).mean(-1, keepdims=True) + checkpoint.config.norm_epsilon)
    return np.asarray(rows / root * checkpoint.tensor(name), np.float32)
