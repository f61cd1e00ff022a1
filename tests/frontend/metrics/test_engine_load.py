import pytest

from frontend.metrics.engine_load import EngineLoad, num_waiting_in_engines, read_load

# As tritonserver 2.51 writes it.
TEXT = """\
# HELP nv_inference_count Number of inferences performed (does not include cached requests)
# TYPE nv_inference_count counter
nv_inference_count{model="tensorrt_llm",version="1"} 55
# HELP nv_trt_llm_request_metrics TRT LLM request metrics
# TYPE nv_trt_llm_request_metrics gauge
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="waiting",version="1"} 2
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="scheduled",version="1"} 3
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="max",version="1"} 64
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="active",version="1"} 5
nv_trt_llm_request_metrics{model="another",request_type="active",version="1"} 50
# HELP nv_trt_llm_kv_cache_block_metrics TRT LLM KV cache block metrics
# TYPE nv_trt_llm_kv_cache_block_metrics gauge
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction",model="tensorrt_llm",version="1"} 0.25
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="used",model="tensorrt_llm",version="1"} 1024
"""
SILENT = EngineLoad(None, None, 0, 0)


def load(num_active: int, num_scheduled: int, max_active: int = 8) -> EngineLoad:
    return EngineLoad(0.5, num_active, num_scheduled, max_active)


def test_what_the_engine_tells() -> None:
    assert read_load(TEXT) == EngineLoad(kv_cache_usage=0.25, num_active=5, num_scheduled=3, max_active=64)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", SILENT),
        ("# HELP x y\nx 1\n", SILENT),
        ('nv_trt_llm_request_metrics{model="tensorrt_llm"} 2\n', None),
        ('nv_trt_llm_request_metrics{request_type="active"} 2\n', None),
        ('nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="active"} many\n', None),
        ("nv_trt_llm_request_metrics{model=\n", None),
    ],
)
def test_what_the_engine_does_not_tell(text: str, expected: EngineLoad | None) -> None:
    assert read_load(text) == expected


@pytest.mark.parametrize(
    ("num_in_triton", "loads", "expected"),
    [
        (0, [load(0, 0)], 0),
        (5, [load(5, 5)], 0),
        # The last step of an engine that is idle now.
        (0, [load(1, 1)], 0),
        # Two that the engine has no blocks for, and two that it has not taken up.
        (10, [load(8, 6)], 4),
        # Of two engines.
        (10, [load(4, 4), load(4, 2)], 4),
        # Half of them are another frontend's.
        (4, [load(8, 4)], 2),
        # Steps of a pipeline of four: each computes a quarter.
        (32, [load(32, 8, max_active=32)], 0),
        (40, [load(32, 8, max_active=32)], 8),
        # Nothing to say without a word from each of them.
        (10, [], None),
        (10, [load(5, 5), None], None),
        (10, [load(5, 5), SILENT], None),
    ],
)
def test_who_waits_in_the_engines(
    num_in_triton: int, loads: list[EngineLoad | None], expected: int | None
) -> None:
    assert num_waiting_in_engines(num_in_triton, loads, max_num_seqs=8) == expected
