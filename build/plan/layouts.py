"""All ways to spread a model over the GPUs, and which of them to build."""

from collections.abc import Iterator
from dataclasses import dataclass

from build.checkpoint.shapes import LlamaShape
from build.gpus import Gpus
from build.plan.gpu_memory import EngineSize, GpuMemory, gpu_memory
from build.plan.precisions import Precision

# NVIDIA's sweep with 70B on four H100, 2,048 tokens in and out: 1,944 / 2,467 / 2,044 tokens/s at batches of
# 64 / 512 / 2048, and 2,474 / 2,467 / 2,461 at 2,048 / 8,192 / 16,384 tokens a step
# (tuning-max-batch-size-and-max-num-tokens.md).
_LARGEST_BATCH = 512
_SMALLEST_BATCH = 8
_TYPICAL_TOKENS = 4096
_NUM_TOKENS = 2048
# Upstream's examples of long contexts (README of Llama), so that a prompt takes fewer steps.
_NUM_TOKENS_LONG = 4096
_LONG_CONTEXT = 16384


@dataclass(frozen=True)
class Wish:
    """What is to be served: sequences of `context` tokens, prompt and answer together, so many at once."""

    shape: LlamaShape
    precision: Precision
    context: int
    concurrency: int


@dataclass(frozen=True)
class Layout:
    """One engine, how often it fits on the GPUs, and the sequences that one runs at once."""

    size: EngineSize
    memory: GpuMemory
    copies: int
    sequences: int


def layouts(wish: Wish, gpus: Gpus) -> list[Layout]:
    """Tensor parallel within a node, pipeline parallel between nodes, as NVIDIA advises; smallest first."""
    return [_layout(wish, gpus, tp, pp) for tp, pp in _divisions(wish.shape, gpus)]


def recommended(found: list[Layout], wish: Wish) -> Layout | None:
    """The smallest engine with room for the wished sequences, or else that with most; None: not even one.

    Copies of a small engine answer more than one large engine: GPUs that work alone wait for nobody.
    """
    able = [layout for layout in found if layout.sequences]
    enough = [layout for layout in able if layout.sequences >= wish.concurrency]
    if enough:
        return min(enough, key=lambda layout: layout.size.world_size)
    return max(able, key=lambda layout: layout.sequences, default=None)


def _divisions(shape: LlamaShape, gpus: Gpus) -> Iterator[tuple[int, int]]:
    tps = [tp for tp in (1, 2, 4, 8) if tp <= gpus.per_node and shape.num_kv_heads % tp == 0]
    for tp in tps:
        yield tp, 1
    # An engine over several nodes fills them.
    if tps[-1] == gpus.per_node:
        for nodes in range(2, min(gpus.num_nodes, shape.num_layers) + 1):
            yield tps[-1], nodes


def _layout(wish: Wish, gpus: Gpus, tp: int, pp: int) -> Layout:
    num_tokens = _NUM_TOKENS_LONG if wish.context > _LONG_CONTEXT else _NUM_TOKENS
    largest = EngineSize(tp, pp, _LARGEST_BATCH, num_tokens)
    # The batch is chosen by the room that the largest one leaves, and never takes more.
    tokens = gpu_memory(wish.shape, wish.precision, gpus.gpu, largest).kv_tokens
    batch = _power_of_2(tokens // min(wish.context, _TYPICAL_TOKENS))
    size = EngineSize(tp, pp, min(max(batch, _SMALLEST_BATCH), _LARGEST_BATCH), num_tokens)
    memory = gpu_memory(wish.shape, wish.precision, gpus.gpu, size)
    copies = gpus.num_nodes // pp if pp > 1 else gpus.num_nodes * (gpus.per_node // tp)
    return Layout(size, memory, copies, memory.sequences(wish.context))


def _power_of_2(least: int) -> int:
    return 1 << max(0, least - 1).bit_length()
