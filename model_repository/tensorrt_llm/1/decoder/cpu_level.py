"""Which of cpu_decoder's libraries a CPU runs: each is compiled for the instructions of a level.

As a program it writes this machine's, which is the only one that serving needs compiled.
"""

import os
import sys
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


class UnsuitableCpu(Exception):
    """Why cpu_decoder does not compute here."""


def choose_level(flags: Collection[str], wanted: str | None = None) -> str:
    """The level asked for, or the fastest that the CPU has; raises UnsuitableCpu where OpenVINO computes."""
    levels = [level for level, needed in LEVELS.items() if needed.issubset(flags)]
    if not levels:
        raise UnsuitableCpu("cpu_decoder needs a CPU with AVX2 (x86-64-v3), which this one has not")
    if wanted and wanted not in levels:
        raise UnsuitableCpu(f"{VARIABLE} must be one of {', '.join(levels)} on this CPU, got {wanted!r}")
    # Which of the two is faster there was not measured.
    if not wanted and "amx_int8" in flags:
        raise UnsuitableCpu("the CPU has AMX, which OpenVINO uses and cpu_decoder does not")
    return wanted or levels[0]


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """As Linux names what the first core can do."""
    for line in cpuinfo.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            return frozenset(value.split())
    return frozenset()


def library_name(level: str) -> str:
    return f"libcpu_decoder_{level}.so"


if __name__ == "__main__":
    try:
        sys.stdout.write(choose_level(cpu_flags(), os.environ.get(VARIABLE)))
    except UnsuitableCpu as reason:
        sys.exit(str(reason))
