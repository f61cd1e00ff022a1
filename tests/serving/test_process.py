import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from serving.process import NUM_KEPT, Process, open_new, told_errors

ROOT = Path(__file__).parents[2]
# Says that it is up, then waits for ever; `ignore` makes it deaf to SIGTERM.
SERVER = """
import signal, sys
if sys.argv[1] == "ignore":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
signal.pause()
"""


def start(log: Path, *arguments: str, grace_s: float = 5) -> Process:
    return Process("server", [sys.executable, "-c", *arguments], os.environ, log=log, grace_s=grace_s)


def wait_for(log: Path, text: str, process: Process) -> None:
    while text not in log.read_text():
        assert process.exit_code is None


def test_exit_code_and_log(tmp_path: Path) -> None:
    process = start(tmp_path / "log", "print('hello'); raise SystemExit(3)")
    assert process.wait() == 3
    assert (tmp_path / "log").read_text() == "hello\n"


@pytest.mark.parametrize("policy", [os.SCHED_OTHER, os.SCHED_BATCH])
def test_its_scheduling_policy_is_its_own(tmp_path: Path, policy: int) -> None:
    command = [sys.executable, "-c", "import os; print(os.sched_getscheduler(0))"]
    process = Process("child", command, os.environ, log=tmp_path / "log", policy=policy)
    assert process.wait() == 0
    assert (tmp_path / "log").read_text() == f"{policy}\n"
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_epitaph_names_process_exit_code_log_and_last_error(tmp_path: Path) -> None:
    process = start(tmp_path / "log", "raise ValueError('no model')")
    process.wait()
    said = f"server ended with exit code 1; from its log {tmp_path / 'log'}:\n  ValueError: no model"
    assert process.epitaph() == said


@pytest.mark.parametrize(
    ("mode", "grace_s", "end"), [("obey", 5, signal.SIGTERM), ("ignore", 0.1, signal.SIGKILL)]
)
def test_stop_asks_first_and_kills_later(tmp_path: Path, mode: str, grace_s: float, end: int) -> None:
    process = start(tmp_path / "log", SERVER, mode, grace_s=grace_s)
    wait_for(tmp_path / "log", "up", process)
    process.stop()
    assert process.exit_code == -end


def test_stop_leaves_no_grandchild(tmp_path: Path) -> None:
    family = "os.fork() or print('up', flush=True); signal.pause()"
    code = f"import fcntl, os, signal; held = open('held', 'w'); fcntl.flock(held, fcntl.LOCK_EX); {family}"
    process = Process(
        "server",
        [sys.executable, "-c", f"import os; os.chdir({str(tmp_path)!r}); {code}"],
        os.environ,
        log=tmp_path / "log",
    )
    wait_for(tmp_path / "log", "up", process)
    process.stop()
    with (tmp_path / "held").open() as held:
        # Free once parent and child have both ended.
        fcntl.flock(held, fcntl.LOCK_EX)


def test_a_killed_parent_takes_its_process_along() -> None:
    script = "\n".join(
        [
            "import os, signal, sys",
            "from serving.process import Process",
            f"Process('child', [sys.executable, '-c', {SERVER!r}, 'obey'], os.environ)",
            "signal.pause()",
        ]
    )
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    with parent.stdout as output:
        assert output.readline() == b"up\n"
        parent.kill()
        # The pipe ends when the last process that holds it has ended: the child.
        assert output.read() == b""
    assert parent.wait() == -signal.SIGKILL


# Its child, like a model's process, hears nothing of its grandparent.
STOPPED_FAMILY = """
import os, signal
print("up", flush=True)
os.fork()
os.kill(os.getpid(), signal.SIGSTOP)
"""


@pytest.mark.parametrize("victims", ["parent", "parent and child"])
def test_a_killed_parent_takes_along_what_is_stopped(victims: str) -> None:
    script = "\n".join(
        [
            "import os, signal, sys",
            "from serving.process import Process",
            f"child = Process('child', [sys.executable, '-c', {STOPPED_FAMILY!r}], os.environ)",
            "print(child.pid, flush=True)",
            "signal.pause()",
        ]
    )
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    with parent.stdout as output:
        pid = int(max(output.readline(), output.readline(), key=len))
        if victims == "parent and child":
            os.kill(pid, signal.SIGKILL)
        parent.kill()
        assert output.read() == b""
    assert parent.wait() == -signal.SIGKILL


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


def test_a_log_that_can_not_be_written_stops_no_server(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file, where a folder is wanted")
    process = start(tmp_path / "logs" / "log", "print('hello'); raise SystemExit(3)")
    assert process.wait() == 3
    assert process.epitaph().endswith("Not a directory")


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
