"""What one GPU of an engine holds: weights, activations, the runtime's own, and the KV cache in the rest."""

from dataclasses import dataclass

from build.checkpoint.shapes import LlamaShape
from build.gpus import Gpu
from build.plan.precisions import Precision

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


# Upstream's own log of one GPU (memory.md) leaves 0.8 GB for CUDA and cuBLAS beside the engine; nvidia-smi
# counts 0.6 GB more than CUDA does, and NCCL's buffers take the rest.
RUNTIME_BYTES = 2_000_000_000
# kv_cache_free_gpu_mem_fraction of the rendered config.pbtxt.
KV_FRACTION = 0.9
TOKENS_PER_BLOCK = 32
# FP8 matrix products may take more than the tensors themselves (memory.md, known issues).
_FP8_MARGIN = 1.25
# Logits, probabilities and what top-p sorts, one FP32 each for every token of the vocabulary and sequence.
_SAMPLING_BYTES = 3 * 4


@dataclass(frozen=True)
class EngineSize:
    """What an engine is built for: TP x PP GPUs, and the limits that its buffers are made for."""

    tp: int
    pp: int
    max_batch_size: int
    max_num_tokens: int

    @property
    def world_size(self) -> int:
        return self.tp * self.pp


@dataclass(frozen=True)
class GpuMemory:
    """Bytes on the fullest GPU; kv_per_token is this GPU's share of one token's keys and values."""

    total: int
    weights: int
    activations: int
    kv_per_token: int

    @property
    def kv_pool(self) -> int:
        """Bytes for the KV cache; 0 when the rest does not even fit."""
        free = self.total - self.weights - self.activations - RUNTIME_BYTES
        return max(0, int(KV_FRACTION * free))

    @property
    def kv_tokens(self) -> int:
        """Tokens that all running sequences may have together."""
        return self.kv_pool // self.kv_per_token

    def sequences(self, context: int) -> int:
        """Sequences of so many tokens that run at once, in whole blocks."""
        blocks = -(-context // TOKENS_PER_BLOCK)
        return self.kv_tokens // (blocks * TOKENS_PER_BLOCK)


def gpu_memory(shape: LlamaShape, precision: Precision, gpu: Gpu, size: EngineSize) -> GpuMemory:
    """The estimate; ours from upstream's rules (docs/source/legacy/reference/memory.md), not measured."""
    kv_total = kv_bytes_per_token(shape, is_8_bit=precision.has_8_bit_kv)
    return GpuMemory(
        total=gpu.memory_mib << 20,
        weights=gpu_weight_bytes(shape, precision.name, size.world_size),
        activations=_activation_bytes(shape, precision, size),
        kv_per_token=kv_total // size.world_size,
    )


def _activation_bytes(shape: LlamaShape, precision: Precision, size: EngineSize) -> int:
    """16 bits for every number of one layer's tensors, which the layers share, and the sampling buffers."""
    attention = 2 * shape.head_size * (shape.num_heads + shape.num_kv_heads) // size.tp
    per_token = 2 * (4 * shape.hidden + attention + 3 * shape.intermediate // size.tp)
    margin = _FP8_MARGIN if precision.name.startswith("fp8") else 1.0
    sampling = size.max_batch_size * shape.vocab * _SAMPLING_BYTES
    return int(margin * size.max_num_tokens * per_token) + sampling
