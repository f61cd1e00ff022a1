"""`make test`: unit tests on every core, then the integration tests on one live server, and one sum."""

import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from build.errors import Failure, run
from scripts.perf import analyzer_command
from serving.process import Process

INTEGRATION = "tests/integration"
SUITES = {"unit": ["-n", "auto", "tests", f"--ignore={INTEGRATION}"], "integration": [INTEGRATION]}


@dataclass(frozen=True)
class Outcome:
    """How many tests of one pytest run passed, failed and were skipped."""

    num_passed: int
    num_failed: int
    num_skipped: int

    def __add__(self, other: "Outcome") -> "Outcome":
        return Outcome(
            self.num_passed + other.num_passed,
            self.num_failed + other.num_failed,
            self.num_skipped + other.num_skipped,
        )

    def __str__(self) -> str:
        return f"{self.num_passed} passed, {self.num_failed} failed, {self.num_skipped} skipped"


def main() -> int:
    """Fetches what the tests need, runs both suites even if the first one fails, and sums up."""
    analyzer_command()
    if _python("build", ["-m", "build"]):
        raise Failure("the tests need the embedded model's engine; why it could not be built is above")
    with tempfile.TemporaryDirectory(prefix="reports-") as scratch:
        results = [_run_suite(name, Path(scratch)) for name in SUITES]
    print(sum((outcome for _, outcome in results), Outcome(0, 0, 0)))
    return max(code for code, _ in results)


def read_report(path: Path) -> Outcome:
    """Counts in pytest's JUnit report."""
    suite = ElementTree.parse(path).getroot()[0]  # noqa: S314 - pytest wrote it just now
    total, failures, errors, skipped = (
        int(suite.attrib[key]) for key in ("tests", "failures", "errors", "skipped")
    )
    return Outcome(total - failures - errors - skipped, failures + errors, skipped)


def _run_suite(name: str, reports: Path) -> tuple[int, Outcome]:
    report = reports / f"{name}.xml"
    print(f"{name} tests", flush=True)
    code = _python(name, ["-m", "pytest", *SUITES[name], f"--junit-xml={report}"])
    if not report.exists():
        raise Failure(f"pytest could not run the {name} tests (exit code {code}); the reason is above")
    return code, read_report(report)


def _python(name: str, arguments: Sequence[str]) -> int:
    return Process(name, [sys.executable, *arguments], os.environ).wait()


if __name__ == "__main__":
    run(main)
