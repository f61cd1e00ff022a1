import time
from pathlib import Path

from scripts.replay.check import read_count
from tests.model_repository.tensorrt_llm.fake_sender import TIMEOUT_S
from tests.scripts.replay.asking import replay_engine


def wait_for(count_file: Path, num_sequences: int) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while read_count(count_file) != num_sequences:
        assert time.monotonic() < deadline, read_count(count_file)
        time.sleep(0.01)


def test_the_file_holds_how_many_sequences_there_are(folder: Path, tmp_path: Path) -> None:
    count_file = tmp_path / "count"
    # Nothing ends by itself within the test, and two of the three have to wait.
    parameters = {"max_num_seqs": "1", "tokens_per_second": "0.01", "sequence_count_file": str(count_file)}
    with replay_engine(folder, **parameters) as engine:
        wait_for(count_file, 0)
        senders = [engine.start(request_id=name) for name in "abc"]
        wait_for(count_file, 3)
        engine.ask(request_id="b", stop=True)
        wait_for(count_file, 2)
        senders[0].has_left = True
        wait_for(count_file, 1)
        engine.ask(request_id="c", stop=True)
        wait_for(count_file, 0)
