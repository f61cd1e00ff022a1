"""A child process that is stopped in order and never left behind."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

LAUNCHER = Path(__file__).parent / "orphans" / "die_with_parent.py"
GUARDIAN = Path(__file__).parent / "orphans" / "guardian.py"
# Python that starts in 20 ms, and imports nothing of anybody's.
BARE_PYTHON = (sys.executable, "-I", "-S")
# Of a log: files that are kept, one a start, and lines that are shown.
NUM_KEPT = 5
NUM_FIRST, NUM_LAST = 3, 5
LONGEST_SHOWN = 400
# tritonserver's severity letter and date, its fatal errors, or Python's; TensorRT-LLM's, and MPI's.
ERROR = re.compile(
    r"(?:E\d{4} |error: |(?:\w+\.)*\w*(?:Error|Exception): |.*\[TensorRT-LLM\]\[ERROR\]|.*\[TRT-LLM\] \[E\]"
    r"|terminate called|.*MPI_ABORT|\[\S+:\d+\] \*\*\*)"
)

# tritonserver's own words at every start on a machine without a GPU. An engine's words of an older driver are
# no noise: they are what is wrong.
NOISE = re.compile(
    "CudaDriverHelper|unable to create stream for ensemble|allocate pinned system memory"
    "|Failed to initialize NVML|DCGM unable to start"
)
TABLE = re.compile(r"[+|]")


class Process:
    """A command in a process group of its own, so that the terminal's Ctrl-C reaches only the parent.

    Its output goes to `log`, or to the terminal without one; `grace_s` is what it may take to stop;
    `orphan_signal` is what it gets when the parent dies without stopping it; `clean_up` is run at
    the end, against what may live on outside of its group; `policy` is how the kernel schedules its
    threads (sched(7)); `inherited` are descriptors that it gets.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path | None = None,
        grace_s: float = 5,
        orphan_signal: signal.Signals = signal.SIGTERM,
        clean_up: Sequence[str] = (),
        policy: int = os.SCHED_OTHER,
        inherited: Collection[int] = (),
    ) -> None:
        self.name = name
        self._log = log
        self._grace_s = grace_s
        self._clean_up = clean_up
        order = [str(os.getpid()), str(orphan_signal.value), str(policy)]
        self._popen = self._start([*BARE_PYTHON, str(LAUNCHER), *order, *command], environment, inherited)
        self._guardian = _start_guardian(self._popen.pid, clean_up)

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._popen.poll()

    def wait(self) -> int:
        """Exit code, once it has ended; stops it when this is interrupted."""
        try:
            return self._popen.wait()
        finally:
            self.stop()

    def stop(self) -> None:
        """Asks it to end, waits, and kills what is left of its group."""
        if self.exit_code is None:
            self._popen.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._popen.wait(self._grace_s)
        self.kill()

    def kill(self) -> None:
        """Ends its whole group at once."""
        with suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()
        self._guardian.kill()
        self._guardian.wait()
        if self._clean_up:
            subprocess.run(self._clean_up, capture_output=True, check=False)

    def epitaph(self) -> str:
        """How it ended and what it said last."""
        return f"{self.name} ended with {_describe(self._popen.wait())}; {self.told()}"

    def told(self) -> str:
        """What it said last."""
        if self._log is None:
            return "the reason is above"
        return f"from its log {self._log}:\n{told_errors(self._log)}"

    def _start(
        self, command: Sequence[str], environment: Mapping[str, str], inherited: Collection[int]
    ) -> subprocess.Popen[bytes]:
        output = None if self._log is None else open_new(self._log)
        try:
            return subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=tuple(inherited),
            )
        finally:
            if output is not None:
                output.close()


def _start_guardian(pid: int, clean_up: Sequence[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [*BARE_PYTHON, str(GUARDIAN), str(os.getpid()), str(pid), *clean_up],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _describe(exit_code: int) -> str:
    return f"exit code {exit_code}" if exit_code >= 0 else signal.Signals(-exit_code).name


def open_new(path: Path) -> IO[bytes]:
    """Opens an empty log; the one of the last start becomes path.1, that path.2, and so on.

    Where a full disk leaves no room for one, what would be in it is lost, and the server starts.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for number in range(NUM_KEPT - 1, 0, -1):
            older = path if number == 1 else _numbered(path, number - 1)
            if older.exists():
                older.replace(_numbered(path, number))
        return path.open("wb")
    except OSError:
        return Path(os.devnull).open("wb")


def told_errors(path: Path) -> str:
    """The first and the last lines of the log that tell of errors, or else just its last lines.

    What an engine says first is the cause; what Triton says of it last are consequences.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        return f"  none: {error.strerror}"
    errors = [line for line in lines if ERROR.match(line) and not NOISE.search(line)]
    shown = [line for line in lines if line.strip() and not TABLE.match(line)][-NUM_LAST:]
    if len(errors) > NUM_FIRST + NUM_LAST:
        shown = [*errors[:NUM_FIRST], "...", *errors[-NUM_LAST:]]
    elif errors:
        shown = errors
    return "\n".join(f"  {line[:LONGEST_SHOWN]}" for line in shown)


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")
