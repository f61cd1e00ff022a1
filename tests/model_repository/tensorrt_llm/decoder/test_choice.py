from pathlib import Path

import pytest
from decoder.choice import LIBRARY, cpu_flags, find_library, suits

ENOUGH = ["fpu", "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx512_vnni"]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (ENOUGH, True),
        ([*ENOUGH, "amx_int8"], False),
        (["fpu", "avx2"], False),
        *(([flag for flag in ENOUGH if flag != lacking], False) for lacking in ENOUGH[1:]),
        ([], False),
    ],
)
def test_a_cpu_suits_by_its_instructions(flags: list[str], expected: bool) -> None:
    assert suits(flags) is expected


def test_flags_are_those_of_the_first_core(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nflags\t\t: fpu avx2\n\nprocessor\t: 1\nflags\t: fpu\n")
    assert cpu_flags(tmp_path / "cpuinfo") == {"fpu", "avx2"}


def test_a_cpu_of_another_kind_has_no_flags(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nFeatures\t: fp asimd\n")
    assert cpu_flags(tmp_path / "cpuinfo") == frozenset()


def test_the_library_is_the_first_in_the_folders(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("empty", "first", "second")]
    for folder in folders:
        folder.mkdir()
    for folder in folders[1:]:
        (folder / LIBRARY).touch()
    assert find_library(["", *map(str, folders)]) == folders[1] / LIBRARY
    assert find_library([str(folders[0])]) is None
