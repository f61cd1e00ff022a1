"""What a build says, on a terminal and in a log."""

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from build.progress import Reporter


def ticking(*times: float) -> Callable[[], float]:
    return iter(times).__next__


def test_log_has_plain_lines() -> None:
    stream = io.StringIO()
    reporter = Reporter(Console(file=stream), clock=ticking(0.0, 0.0, 1.0, 6.0, 6.0, 9.0))
    with reporter.step("Hashing [files]", 200) as advance:
        advance(50)
        advance(50)
    assert stream.getvalue().splitlines() == [
        "Hashing [files] ...",
        "    50 %",
        "Hashing [files]: done in 9.0 s",
    ]


def test_log_of_a_step_without_amount_has_no_share() -> None:
    stream = io.StringIO()
    with Reporter(Console(file=stream), clock=ticking(0.0, 0.0, 7.0)).step("Saving"):
        pass
    assert stream.getvalue().splitlines() == ["Saving ...", "Saving: done in 7.0 s"]


def test_terminal_has_a_bar_that_goes() -> None:
    stream = io.StringIO()
    reporter = Reporter(Console(file=stream, force_terminal=True, width=80), clock=ticking(0.0, 5.0))
    with reporter.step("Reading", 10) as advance:
        advance(10)
    assert "Reading" in stream.getvalue()
    assert "100%" in stream.getvalue()
    assert "Reading: done in" in stream.getvalue().splitlines()[-1]


def test_what_is_done_soon_leaves_no_line_on_a_terminal() -> None:
    stream = io.StringIO()
    reporter = Reporter(Console(file=stream, force_terminal=True, width=120), clock=ticking(0.0, 4.9))
    with reporter.step("Reading", 3_000_000_000, is_bytes=True) as advance:
        advance(1_500_000_000)
    assert "1.5/3.0 GB" in stream.getvalue()
    assert "done" not in stream.getvalue()


def test_log_of_large_files_tells_their_size() -> None:
    stream = io.StringIO()
    reporter = Reporter(Console(file=stream), clock=ticking(0.0, 0.0, 6.0, 6.0, 7.0))
    with reporter.step("Hashing", 16_060_000_000, is_bytes=True) as advance:
        advance(4_015_000_000)
    assert "    25 % of 16.1 GB" in stream.getvalue().splitlines()


def test_failed_step_is_not_done() -> None:
    stream = io.StringIO()
    with pytest.raises(KeyError), Reporter(Console(file=stream)).step("Reading"):
        raise KeyError
    assert "done" not in stream.getvalue()
