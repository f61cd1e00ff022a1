from pathlib import Path

import pytest
from decoder.cpu_level import LEVELS, UnsuitableCpu, choose_level, cpu_flags

AVX2 = ["fpu", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe"]
AVX512 = [*AVX2, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx512_vnni"]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (AVX2, "avx2"),
        ([*AVX2, "avx_vnni"], "avxvnni"),
        (AVX512, "avx512"),
        ([*AVX512, "avx_vnni"], "avx512"),
        *(([flag for flag in AVX512 if flag != lacking], "avx2") for lacking in AVX512[len(AVX2) :]),
    ],
)
def test_a_cpu_has_the_fastest_level_of_its_instructions(flags: list[str], expected: str) -> None:
    assert choose_level(flags) == expected


@pytest.mark.parametrize("lacking", AVX2[1:])
def test_a_cpu_without_avx2_is_told_so(lacking: str) -> None:
    with pytest.raises(UnsuitableCpu, match=r"needs a CPU with AVX2 \(x86-64-v3\)"):
        choose_level([flag for flag in AVX512 if flag != lacking])


def test_a_better_cpu_is_held_to_a_level() -> None:
    assert [choose_level([*AVX512, "avx_vnni"], level) for level in LEVELS] == list(LEVELS)


def test_a_cpu_with_amx_is_openvinos_unless_a_level_is_asked_for() -> None:
    with pytest.raises(UnsuitableCpu, match="AMX"):
        choose_level([*AVX512, "amx_int8"])
    assert choose_level([*AVX512, "amx_int8"], "avx512") == "avx512"


@pytest.mark.parametrize("wanted", ["avxvnni", "sse"])
def test_a_level_that_the_cpu_lacks_is_refused(wanted: str) -> None:
    with pytest.raises(UnsuitableCpu, match=f"CPU_LEVEL must be one of avx512, avx2 .* got '{wanted}'"):
        choose_level(AVX512, wanted)


def test_flags_are_those_of_the_first_core(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nflags\t\t: fpu avx2\n\nprocessor\t: 1\nflags\t: fpu\n")
    assert cpu_flags(tmp_path / "cpuinfo") == {"fpu", "avx2"}


def test_a_cpu_of_another_kind_has_no_flags(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nFeatures\t: fp asimd\n")
    assert cpu_flags(tmp_path / "cpuinfo") == frozenset()
