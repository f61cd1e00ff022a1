from pathlib import Path

from scripts.run_tests import Outcome, read_report

REPORT = """<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest" errors="1" failures="2" skipped="3" tests="10"></testsuite></testsuites>
"""


def test_report(tmp_path: Path) -> None:
    (tmp_path / "unit.xml").write_text(REPORT)
    assert read_report(tmp_path / "unit.xml") == Outcome(num_passed=4, num_failed=3, num_skipped=3)


def test_sum() -> None:
    assert str(Outcome(4, 0, 1) + Outcome(3, 2, 0)) == "7 passed, 2 failed, 1 skipped"
