import time
from pathlib import Path

from tests.model_repository.tensorrt_llm.fake_sender import TIMEOUT_S
from tests.scripts.replay.asking import replay_engine


def test_the_load_is_of_those_that_run(folder: Path) -> None:
    """As TensorRT-LLM, whose executor does not tell what waits in its queue."""
    # Nothing ends by itself within the test.
    parameters = {"max_num_seqs": "2", "tokens_per_second": "0.01", "tokens_per_block": "4"}
    with replay_engine(folder, **parameters) as engine:
        for name in "abc":
            engine.start(request_id=name, input_ids=[5] * 9, input_lengths=9)
        deadline = time.monotonic() + TIMEOUT_S
        while engine.load.num_running < 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        load = engine.load
        assert (load.num_running, load.num_waiting, load.max_requests) == (2, 0, 2)
        assert (load.num_used_blocks, load.tokens_per_block) == (2 * 3, 4)
        for name in "cba":
            engine.ask(request_id=name, stop=True)
        assert (engine.load.num_running, engine.load.num_used_blocks) == (0, 0)
