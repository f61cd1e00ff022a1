"""A child process that is stopped in order and never left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from serving import log_file

LAUNCHER = Path(__file__).with_name("die_with_parent.py")


class Process:
    """A command in a process group of its own, so that the terminal's Ctrl-C reaches only the parent.

    Its output goes to `log`, or to the terminal without one; `grace_s` is what it may take to stop;
    `orphan_signal` is what it gets when the parent dies without stopping it; `clean_up` is run at
    the end, against what may live on outside of its group; `policy` is how the kernel schedules its
    threads (sched(7)).
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
    ) -> None:
        self.name = name
        self._log = log
        self._grace_s = grace_s
        self._clean_up = clean_up
        launcher = [sys.executable, "-I", "-S", str(LAUNCHER)]
        order = [str(os.getpid()), str(orphan_signal.value), str(policy)]
        self._popen = self._start([*launcher, *order, *command], environment)

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
        if self._clean_up:
            subprocess.run(self._clean_up, capture_output=True, check=False)

    def epitaph(self) -> str:
        """How it ended and what it said last."""
        ended = f"{self.name} ended with {_describe(self._popen.wait())}"
        if self._log is None:
            return f"{ended}; the reason is above"
        return f"{ended}; from its log {self._log}:\n{log_file.told_errors(self._log)}"

    def _start(self, command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        output = None if self._log is None else log_file.open_new(self._log)
        try:
            return subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        finally:
            if output is not None:
                output.close()


def _describe(exit_code: int) -> str:
    return f"exit code {exit_code}" if exit_code >= 0 else signal.Signals(-exit_code).name
