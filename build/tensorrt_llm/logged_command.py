"""Runs one of upstream's commands: its output is logged, its end told, nothing of it left running."""

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from build.errors import BuildError
from build.progress import Reporter

# Between two remarks on a step that is still running.
REMARK_INTERVAL_S = 60.0

# Python's output would reach the log in blocks of 8 KB.
UNBUFFERED = {"PYTHONUNBUFFERED": "1"}

_TERMINATE_S = 20.0
_LAST_LINES = 15
_TAIL_BYTES = 20_000


def run_logged(
    title: str,
    command: Sequence[str],
    log: Path,
    reporter: Reporter,
    removal: Sequence[str] | None = None,
    remark_interval_s: float = REMARK_INTERVAL_S,
) -> None:
    """Raises BuildError that names the command, its log and its last lines when it fails.

    removal is run when the command is interrupted.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with reporter.step(title), log.open("wb") as output:
        reporter.say(f"    log: {log}")
        output.write(f"$ {shlex.join(command)}\n".encode())
        output.flush()
        with _ended(_start(command, output.fileno()), removal) as process:
            status = _wait(process, log, reporter, remark_interval_s)
        if status:
            raise BuildError(_failure(title, command, status, log))


def _start(command: Sequence[str], output: int) -> subprocess.Popen[bytes]:
    try:
        # A session of its own, so that all its workers can be ended together.
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **UNBUFFERED},
            start_new_session=True,
        )
    except OSError as error:
        raise BuildError(f"{command[0]} can't be started: {error.strerror}.") from error


@contextmanager
def _ended(
    process: subprocess.Popen[bytes], removal: Sequence[str] | None
) -> Iterator[subprocess.Popen[bytes]]:
    """Ends the command's whole session when the block is left before it has ended."""
    try:
        yield process
    finally:
        if process.poll() is None:
            _end(process)
            if removal is not None:
                subprocess.run(removal, capture_output=True, check=False)


def _wait(process: subprocess.Popen[bytes], log: Path, reporter: Reporter, remark_interval_s: float) -> int:
    started = time.monotonic()
    while not _has_ended(process, remark_interval_s):
        minutes = (time.monotonic() - started) / 60
        reporter.say(f"    {minutes:.0f} min: {(last_lines(log, 1) or [''])[-1][:200]}")
    return process.returncode


def _has_ended(process: subprocess.Popen[bytes], within_s: float) -> bool:
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGTERM)
    if not _has_ended(process, _TERMINATE_S):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def last_lines(log: Path, number: int) -> list[str]:
    """The last lines that are not empty; of progress bars how they looked in the end."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        text = file.read().decode("utf-8", "replace")
    lines = (line.rstrip().rpartition("\r")[2] for line in text.split("\n"))
    return [line for line in lines if line.strip()][-number:]


def _failure(title: str, command: Sequence[str], status: int, log: Path) -> str:
    ended = f"status {status}" if status > 0 else f"signal {signal.Signals(-status).name}"
    if status in (137, -signal.SIGKILL):
        ended += ", most likely because the host's memory was used up"
    lines = "\n".join(f"    {line}" for line in last_lines(log, _LAST_LINES))
    return (
        f"{title}: the command ended with {ended}.\n  command: {shlex.join(command)}\n  log: {log}\n"
        f"  its last lines:\n{lines}\n  The same make command goes on after the last good step."
    )
