import os
from pathlib import Path

import pytest
from decoder.usable_cores import count_usable_cores

NUM_CORES = len(os.sched_getaffinity(0))


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """Cores that share nothing, and no quota."""
    for number in os.sched_getaffinity(0):
        folder = tmp_path / f"devices/system/cpu/cpu{number}/topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(f"{number}\n")
    (tmp_path / "fs/cgroup").mkdir(parents=True)
    return tmp_path


def test_counts_the_cores_it_may_use(system: Path) -> None:
    assert count_usable_cores(system) == NUM_CORES


def test_counts_threads_of_one_core_once(system: Path) -> None:
    for path in system.rglob("thread_siblings_list"):
        path.write_text("0-63\n")
    assert count_usable_cores(system) == 1


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("max 100000\n", NUM_CORES),
        ("50000 100000\n", 1),
        ("100000 100000\n", 1),
        ("100000000 100000\n", NUM_CORES),
        ("what is this", NUM_CORES),
    ],
)
def test_a_quota_of_cpu_time_is_the_most(system: Path, quota: str, expected: int) -> None:
    (system / "fs/cgroup/cpu.max").write_text(quota)
    assert count_usable_cores(system) == expected


def test_a_system_that_tells_nothing_is_counted_by_its_cores(tmp_path: Path) -> None:
    assert count_usable_cores(tmp_path) == NUM_CORES
