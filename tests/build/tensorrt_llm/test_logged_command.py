"""A command's output is logged, its failure told with its last lines; interrupted, nothing of it is left."""

import io
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from build.errors import BuildError
from build.progress import Reporter
from build.tensorrt_llm.logged_command import last_lines, run_logged


def reporter(said: io.StringIO | None = None) -> Reporter:
    return Reporter(Console(file=said or io.StringIO(), width=1000))


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_output_and_errors_are_logged(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "step.log"
    run_logged(
        "Step", python("import sys; print('out', flush=True); print('err', file=sys.stderr)"), log, reporter()
    )
    assert log.read_text().splitlines()[1:] == ["out", "err"]
    assert log.read_text().startswith(f"$ {sys.executable} -c ")


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("raise SystemExit(7)", "ended with status 7."),
        ("import os; os.kill(os.getpid(), 15)", "ended with signal SIGTERM."),
        ("import os; os.kill(os.getpid(), 9)", "SIGKILL, most likely because the host's memory was used up."),
        ("raise SystemExit(137)", "status 137, most likely because the host's memory was used up."),
    ],
)
def test_failure_is_told(code: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(BuildError) as caught:
        run_logged(
            "Compiling", python(f"print('the reason', flush=True); {code}"), tmp_path / "log", reporter()
        )
    assert str(caught.value).startswith("Compiling: the command ")
    for part in (told, "    the reason", str(tmp_path / "log"), sys.executable):
        assert part in str(caught.value)


def test_what_is_printed_is_in_the_log_at_once(tmp_path: Path) -> None:
    code = "print('layer 3 of 9'); import os; os.kill(os.getpid(), 9)"
    with pytest.raises(BuildError, match="layer 3 of 9"):
        run_logged("Compiling", python(code), tmp_path / "log", reporter())


def test_failed_step_is_not_called_done(tmp_path: Path) -> None:
    said = io.StringIO()
    with pytest.raises(BuildError):
        run_logged("Compiling", python("raise SystemExit(1)"), tmp_path / "log", reporter(said))
    assert "done" not in said.getvalue()


def test_absent_program_is_told(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="/nowhere/trtllm-build can't be started: No such file"):
        run_logged("Compiling", ["/nowhere/trtllm-build"], tmp_path / "log", reporter())


def test_long_steps_say_where_they_are(tmp_path: Path) -> None:
    said = io.StringIO()
    code = "import time; print('layer 3 of 9', flush=True); time.sleep(2)"
    run_logged("Compiling", python(code), tmp_path / "log", reporter(said), remark_interval_s=1.5)
    assert "0 min: layer 3 of 9" in said.getvalue()


def test_interruption_ends_all_of_it(tmp_path: Path) -> None:
    """The workers too, and what runs elsewhere by a command of its own."""
    worker = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)"
    pid_file, removed = tmp_path / "pid", tmp_path / "removed"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {worker!r}, {str(pid_file)!r}])"

    def interrupt() -> None:
        while not (pid_file.exists() and pid_file.read_text()):
            time.sleep(0.05)
        signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    removal = python(f"open({str(removed)!r}, 'w')")
    with pytest.raises(KeyboardInterrupt):
        run_logged("Compiling", python(parent), tmp_path / "log", reporter(), removal)
    thread.join()
    assert removed.exists()
    deadline = time.monotonic() + 20
    while _is_alive(int(pid_file.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()


def test_last_lines_are_as_they_looked_in_the_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * 30_000 + b"\n\nfirst\n 10%\r 50%\r100%\n\n\xff last \n")
    assert last_lines(log, 3) == ["first", "100%", "\ufffd last"]
