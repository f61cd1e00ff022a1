import os
import time
from pathlib import Path

from serving.terminal import MAX_WAITING, Terminal


def test_what_is_said_is_written_in_order(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as file, Terminal(file.fileno()) as terminal:
        terminal.say("a")
        terminal.say("b\nc")
    assert (tmp_path / "out").read_text() == "a\nb\nc\n"


def test_a_closed_pipe_stops_nobody() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with Terminal(writer) as terminal:
        for _ in range(10):
            terminal.say("nobody hears this")
    os.close(writer)


def test_a_full_disk_stops_nobody() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    with Terminal(full) as terminal:
        terminal.say("nowhere")
    os.close(full)


def test_a_pipe_that_nobody_reads_keeps_nobody_waiting() -> None:
    reader, writer = os.pipe()
    start = time.monotonic()
    with Terminal(writer) as terminal:
        for _ in range(3 * MAX_WAITING):
            terminal.say("x" * 1000)
    assert time.monotonic() - start < 10
    os.close(reader)
    os.close(writer)
