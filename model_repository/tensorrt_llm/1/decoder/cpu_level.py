"""Which of cpu_decoder's libraries a CPU runs: each is compiled for the instructions of a level."""

from collections.abc import Collection
from pathlib import Path

# CPU_LEVEL=avx2 holds a better CPU to a level, for tests and measurements.
VARIABLE = "CPU_LEVEL"

_X86_64_V3 = frozenset({"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe"})
_AVX512 = frozenset({"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"})
# As Linux names the instructions, the fastest level first.
LEVELS = {
    "avx512": _X86_64_V3 | _AVX512 | {"avx512_vnni"},
    "avxvnni": _X86_64_V3 | {"avx_vnni"},
    "avx2": _X86_64_V3,
}


class UnsuitableCpu(RuntimeError):
    """One sentence for whoever runs the server."""


def choose_level(flags: Collection[str], wanted: str | None = None) -> str:
    """The level asked for, or the fastest that the CPU has; raises UnsuitableCpu."""
    levels = [level for level, needed in LEVELS.items() if needed.issubset(flags)]
    if not levels:
        raise UnsuitableCpu("The CPU engine needs a CPU with AVX2 (x86-64-v3), which this one has not.")
    if not wanted:
        return levels[0]
    if wanted not in levels:
        raise UnsuitableCpu(f"{VARIABLE}: must be one of {', '.join(levels)} on this CPU, got {wanted!r}.")
    return wanted


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """As Linux names what the first core can do."""
    for line in cpuinfo.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            return frozenset(value.split())
    return frozenset()


def library_name(level: str) -> str:
    return f"libcpu_decoder_{level}.so"
