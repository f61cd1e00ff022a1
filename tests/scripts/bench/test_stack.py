import subprocess
import sys

from scripts.bench.stack import StackProcesses

# Burns CPU time until it is told to stop, and does not know that it is called a frontend.
WORK = "import sys, time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\nsys.stdin.read()"


def test_time_goes_to_the_kind_that_the_command_line_tells() -> None:
    # Below a process of its own: servers of other tests may run below this one.
    command = ["sh", "-c", '"$@"; true', "sh", sys.executable, "-c", WORK, "-m frontend"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        try:
            process.stdout.readline()
            stack = StackProcesses(process.pid)
            assert stack.cpu_seconds()["frontend"] >= 0.25
            assert stack.cpu_seconds()["engine"] == 0
            assert stack.memory_mib() > 1
        finally:
            process.stdin.close()
