"""Which layout is recommended, and for what sizes."""

from dataclasses import replace

import pytest

from build.checkpoint.shapes import LLAMA_3_1
from build.gpus import GPUS, Gpus, named_gpus
from build.plan.layouts import Wish, layouts, recommended
from build.plan.precisions import PRECISIONS

WISH = Wish(LLAMA_3_1["70b"], PRECISIONS["fp8"], 8192, 32)
H100 = named_gpus("8xH100")


def sizes(wish: Wish, gpus: Gpus) -> list[tuple[int, int, int]]:
    return [(layout.size.tp, layout.size.pp, layout.copies) for layout in layouts(wish, gpus)]


def test_tensor_parallel_within_a_node_and_pipeline_parallel_between_nodes() -> None:
    assert sizes(WISH, H100) == [(1, 1, 8), (2, 1, 4), (4, 1, 2), (8, 1, 1)]
    two_nodes = replace(H100, num_nodes=2)
    assert sizes(WISH, two_nodes) == [(1, 1, 16), (2, 1, 8), (4, 1, 4), (8, 1, 2), (8, 2, 1)]


def test_kv_heads_bound_the_tensor_parallelism() -> None:
    shape = replace(WISH.shape, num_kv_heads=2)
    assert sizes(replace(WISH, shape=shape), H100) == [(1, 1, 8), (2, 1, 4)]


def test_an_engine_over_nodes_fills_them() -> None:
    assert sizes(WISH, Gpus(GPUS["H100"], 6, 2)) == [(1, 1, 12), (2, 1, 6), (4, 1, 2)]


def test_the_smallest_engine_that_runs_the_wished_sequences() -> None:
    found = layouts(WISH, H100)
    one, two, four, _ = found
    assert one.sequences < 32 <= two.sequences
    assert recommended(found, WISH) == two
    assert recommended(found, replace(WISH, concurrency=one.sequences)) == one
    assert recommended(found, replace(WISH, concurrency=two.sequences + 1)) == four


def test_the_largest_when_none_runs_so_many() -> None:
    found = layouts(WISH, H100)
    assert recommended(found, replace(WISH, concurrency=10**6)) == found[-1]


def test_none_when_not_one_sequence_fits() -> None:
    wish = replace(WISH, precision=PRECISIONS["bf16"])
    assert recommended(layouts(wish, named_gpus("1xH100")), wish) is None


def test_more_context_means_fewer_sequences_and_larger_steps() -> None:
    short = layouts(WISH, H100)[-1]
    long = layouts(replace(WISH, context=131072), H100)[-1]
    assert short.sequences > 15 * long.sequences > 0
    assert (short.size.max_num_tokens, long.size.max_num_tokens) == (2048, 4096)


@pytest.mark.parametrize(
    ("model", "gpus", "batch"), [("8b", "1xL4", 64), ("8b", "1xH200", 512), ("405b", "8xH100", 64)]
)
def test_batches_are_powers_of_2_by_the_room_for_them(model: str, gpus: str, batch: int) -> None:
    precision = PRECISIONS["fp8" if model == "8b" else "fp8-rowwise"]
    wish = replace(WISH, shape=LLAMA_3_1[model], precision=precision)
    assert layouts(wish, named_gpus(gpus))[-1].size.max_batch_size == batch


def test_every_number_of_the_table_adds_up() -> None:
    for layout in layouts(WISH, H100):
        memory = layout.memory
        assert memory.kv_pool == pytest.approx(
            0.9 * (memory.total - memory.weights - memory.activations - 2e9), abs=1
        )
        assert memory.kv_tokens * memory.kv_per_token <= memory.kv_pool
        assert layout.sequences * 8192 <= memory.kv_tokens < (layout.sequences + 1) * 8192
