"""Bytes that a recipe's weights and KV cache take."""

from build.checkpoint.shapes import LlamaShape

# Bytes of one weight of a quantized linear layer; AWQ has a 16-bit scale for each 128 weights.
_LINEAR_BYTES = {"bf16": 2.0, "fp8": 1.0, "fp8-rowwise": 1.0, "int4-awq": 0.5 + 2 / 128}
_WIDE_BYTES = 2


def weight_bytes(shape: LlamaShape, precision: str) -> int:
    """Bytes of all weights; embedding and output layer stay in 16 bits."""
    linear = _quantized_weights(shape, precision)
    wide = shape.num_weights - linear
    return round(linear * _LINEAR_BYTES[precision] + wide * _WIDE_BYTES)


def gpu_weight_bytes(shape: LlamaShape, precision: str, world_size: int) -> int:
    """Bytes on the fullest of the GPUs: the embedding is not divided (use_parallel_embedding is off)."""
    embedding = shape.embedding_weights * _WIDE_BYTES
    return embedding + (weight_bytes(shape, precision) - embedding) // world_size


def kv_bytes_per_token(shape: LlamaShape, *, is_8_bit: bool) -> int:
    """Keys and values of one token in all layers."""
    return 2 * shape.num_layers * shape.num_kv_heads * shape.head_size * (1 if is_8_bit else 2)


def _quantized_weights(shape: LlamaShape, precision: str) -> int:
    if precision == "fp8-rowwise":
        # Meta's recipe leaves attention and the first and last layer alone.
        return (shape.num_layers - 2) * shape.mlp_weights
    return shape.num_layers * (shape.attention_weights + shape.mlp_weights)
