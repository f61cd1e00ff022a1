from collections import Counter
from pathlib import Path

from scripts.run_tests import read_report

REPORT = """<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest" errors="1" failures="2" skipped="3" tests="10">
<testcase classname="tests.a" name="one"><skipped message="no curl">a.py:1</skipped></testcase>
<testcase classname="tests.a" name="two"><skipped message="no curl">a.py:1</skipped></testcase>
<testcase classname="tests.b" name="one"><skipped message="no AVX2">b.py:1</skipped></testcase>
<testcase classname="tests.b" name="two" />
</testsuite></testsuites>
"""


def test_report(tmp_path: Path) -> None:
    (tmp_path / "tests.xml").write_text(REPORT)
    report = read_report(tmp_path / "tests.xml")
    assert str(report) == "4 passed, 3 failed, 3 skipped"
    assert report.skipped == Counter({("tests.a", "no curl"): 2, ("tests.b", "no AVX2"): 1})
