"""`make test`: the tests that take seconds; `make test-all`: all of them, and what of the code they reach."""

import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from build.errors import Failure, run
from build.paths import CACHE
from scripts.perf import analyzer_command
from scripts.replay.repository import native_replay_library
from serving.backends import decoder_libraries
from serving.process import Process

# Many tests wait, for a process or for a deadline: more of them run at once than there are cores.
PROCESSES_PER_CORE = 2
MAX_PROCESSES = 16
# Servers of others, under which the application must work as it does under its own.
ASGI_SERVERS = ("uvicorn", "hypercorn")
HTTP_TESTS = "tests/frontend/api"
# What shares servers stays together, and nothing changes the order, in which what takes longest comes first.
PYTEST = ("-m", "pytest", "--dist", "loadgroup", "--no-loadscope-reorder")


@dataclass(frozen=True)
class Report:
    """What became of the tests of one run of pytest."""

    num_passed: int
    num_failed: int
    skipped: Counter[tuple[str, str]]
    """Module and reason -> number of tests."""

    def __add__(self, other: "Report") -> "Report":
        return Report(
            self.num_passed + other.num_passed,
            self.num_failed + other.num_failed,
            self.skipped + other.skipped,
        )

    def __str__(self) -> str:
        return f"{self.num_passed} passed, {self.num_failed} failed, {self.skipped.total()} skipped"


def main() -> int:
    """Fetches what the tests need, runs them, and sums up."""
    are_all = "--all" in sys.argv[1:]
    if are_all:
        analyzer_command()
    if _python("build", ["-m", "build"], os.environ):
        raise Failure("the tests need the embedded model's engine; why it could not be built is above")
    # Once, and before tests that give a server so much time to start.
    decoder_libraries()
    native_replay_library()
    with tempfile.TemporaryDirectory(prefix="reports-") as scratch:
        results = list(_runs(Path(scratch), are_all))
    report = sum((report for _, report in results), Report(0, 0, Counter()))
    for (module, reason), number in sorted(report.skipped.items()):
        print(f"skipped: {number} of {module}: {reason}")
    print(report)
    return max(code for code, _ in results)


def _runs(scratch: Path, are_all: bool) -> Iterator[tuple[int, Report]]:
    """Exit codes and what became of the tests."""
    path = scratch / "tests.xml"
    pytest = [*PYTEST, "-n", str(_num_processes()), f"--junit-xml={path}"]
    yield (_run_covered(pytest, scratch) if are_all else _run(pytest)), read_report(path)
    for server in ASGI_SERVERS if are_all else ():
        path = scratch / f"{server}.xml"
        print(f"the application under {server}", flush=True)
        pytest = [*PYTEST, "-n", str(_num_processes()), f"--junit-xml={path}", HTTP_TESTS]
        yield _run(pytest, {"ASGI_SERVER": server}), read_report(path)


def read_report(path: Path) -> Report:
    """Reads pytest's JUnit report; raises Failure where there is none."""
    if not path.exists():
        raise Failure("pytest could not run the tests; the reason is above")
    suite = ElementTree.parse(path).getroot()[0]  # noqa: S314 - pytest wrote it just now
    total, failures, errors = (int(suite.attrib[key]) for key in ("tests", "failures", "errors"))
    skipped = Counter(
        (case.attrib["classname"], reason.attrib["message"])
        for case in suite.iter("testcase")
        for reason in case.iter("skipped")
    )
    return Report(total - failures - errors - skipped.total(), failures + errors, skipped)


def _run(pytest: Sequence[str], variables: Mapping[str, str] | None = None) -> int:
    return _python("tests", [*pytest, "-m", "not slow"], _environment() | dict(variables or {}))


def _run_covered(pytest: Sequence[str], scratch: Path) -> int:
    """Tells what the tests do not reach, and fails if that is more than pyproject.toml allows."""
    environment = _environment() | {"COVERAGE_FILE": str(scratch / "coverage")}
    code = _python("tests", ["-m", "coverage", "run", *pytest], environment)
    _python("coverage", ["-m", "coverage", "combine", "-q"], environment)
    return _python("coverage", ["-m", "coverage", "report"], environment) or code


def _environment() -> dict[str, str]:
    """With a place for compiled code, whatever the shell says: tests start hundreds of processes."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return inherited | {"PYTHONPYCACHEPREFIX": str(CACHE / "pycache")}


def _num_processes() -> int:
    return min(PROCESSES_PER_CORE * len(os.sched_getaffinity(0)), MAX_PROCESSES)


def _python(name: str, arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    return Process(name, [sys.executable, *arguments], environment).wait()


if __name__ == "__main__":
    run(main)
