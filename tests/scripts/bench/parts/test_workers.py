from pathlib import Path

import pytest

from scripts.bench.parts.workers import NUM_WORKERS, Sample, core_share, find_cgroups, rows


def sample(rate: float, frontend: float = 50) -> Sample:
    return Sample(rate, frontend, tritonserver=60, engine=20, client=10)


def test_a_row_has_the_medians_and_the_gain_over_one_worker() -> None:
    rounds = [
        [sample(1000), sample(1800), sample(2100)],
        [sample(1200, frontend=54), sample(1500), sample(1900)],
        [sample(900, frontend=90), sample(2000), sample(2000)],
    ]
    measured = rows(NUM_WORKERS, 0.1, rounds)
    assert [row.num_workers for row in measured] == list(NUM_WORKERS)
    assert [(row.tokens_per_s, row.least, row.most) for row in measured] == [
        (1000, 900, 1200),
        (1800, 1500, 2000),
        (2000, 1900, 2100),
    ]
    assert [row.gain for row in measured] == pytest.approx([1, 1.8, 2])
    assert (measured[0].frontend, measured[0].client) == (54, 10)
    assert measured[0].num_cores > 0
    assert measured[0].share == 0.1


@pytest.fixture
def version_1(tmp_path: Path) -> Path:
    (tmp_path / "cpu.cfs_quota_us").write_text("-1")
    return tmp_path


@pytest.fixture
def version_2(tmp_path: Path) -> Path:
    (tmp_path / "cgroup.subtree_control").write_text("cpuset cpu io\n")
    return tmp_path


def written(cgroups: Path) -> dict[str, str]:
    """What a process was confined by; the kernel removes a group's files with it, a stand-in does not."""
    with core_share(cgroups, 0.25) as confine:
        confine(4711)
        files = {file.name: file.read_text() for file in (cgroups / "bench-4711").iterdir()}
        for name in files:
            (cgroups / "bench-4711" / name).unlink()
    assert not (cgroups / "bench-4711").exists()
    return files


def test_version_1(version_1: Path) -> None:
    assert find_cgroups([version_1]) == version_1
    assert written(version_1) == {
        "cpu.cfs_period_us": "10000",
        "cpu.cfs_quota_us": "2500",
        "cgroup.procs": "4711",
    }


def test_version_2(version_2: Path) -> None:
    assert find_cgroups([version_2 / "missing", version_2]) == version_2
    assert written(version_2) == {"cpu.max": "2500 10000", "cgroup.procs": "4711"}


def test_groups_that_limit_no_cpu_time_are_of_no_use(tmp_path: Path) -> None:
    assert find_cgroups([tmp_path]) is None
    (tmp_path / "cgroup.subtree_control").write_text("hugetlb cpuset\n")
    assert find_cgroups([tmp_path]) is None
