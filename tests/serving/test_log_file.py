from pathlib import Path

import pytest

from serving.log_file import NUM_KEPT, open_new, told_errors


def test_earlier_logs_are_kept_up_to_a_number(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "server.log"
    for number in range(NUM_KEPT + 2):
        with open_new(log) as file:
            file.write(str(number).encode())
    newest = NUM_KEPT + 1
    assert log.read_text() == str(newest)
    assert [path.read_text() for path in sorted(log.parent.glob("server.log.*"))] == [
        str(newest - age) for age in range(1, NUM_KEPT)
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("I0101 fine\nE0101 12:00 bad model\nI0101 fine\n", "  E0101 12:00 bad model"),
        ("I0101 fine\nerror: creating server\n", "  error: creating server"),
        ("Traceback\nValueError: no\n", "  ValueError: no"),
        ("E0101 CudaDriverHelper has not been initialized\nE0101 bad\n", "  E0101 bad"),
        (
            "E0101 CudaDriverHelper has not been initialized\n"
            "[TensorRT-LLM][ERROR] CUDA driver version is insufficient for CUDA runtime version\n"
            + "".join(f"E0101 model {number} failed\n" for number in range(20)),
            "  [TensorRT-LLM][ERROR] CUDA driver version is insufficient for CUDA runtime version\n"
            "  E0101 model 0 failed\n  E0101 model 1 failed\n  ...\n"
            + "\n".join(f"  E0101 model {number} failed" for number in range(15, 20)),
        ),
        (
            "I0101 fine\nterminate called after throwing an 'x'\n[host:17] *** Process received signal ***\n",
            "  terminate called after throwing an 'x'\n  [host:17] *** Process received signal ***",
        ),
        (
            "tensorrt_llm.executor.RequestError: no memory\n",
            "  tensorrt_llm.executor.RequestError: no memory",
        ),
        ("just\n\nthis\n+--+\n| a table |\n", "  just\n  this"),
        ("", ""),
    ],
)
def test_told_errors(tmp_path: Path, text: str, shown: str) -> None:
    (tmp_path / "log").write_text(text)
    assert told_errors(tmp_path / "log") == shown
