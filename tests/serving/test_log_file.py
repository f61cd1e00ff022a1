from pathlib import Path

import pytest

from serving.log_file import NUM_KEPT, last_errors, open_new


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
        ("just\n\nthis\n+--+\n| a table |\n", "  just\n  this"),
        ("", ""),
    ],
)
def test_last_errors(tmp_path: Path, text: str, shown: str) -> None:
    (tmp_path / "log").write_text(text)
    assert last_errors(tmp_path / "log") == shown
