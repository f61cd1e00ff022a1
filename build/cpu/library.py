"""cpu_decoder/, compiled for the CPUs that people have."""

from pathlib import Path

from build.native_library import compiled_library
from build.paths import ROOT

_NAME = "cpu_decoder"
# The engine asks the CPU which one it can run (decoder/cpu_level.py).
_CPUS = {"avx512": "x86_64_v4+avx512vnni", "avxvnni": "x86_64_v3+avxvnni", "avx2": "x86_64_v3"}


def decoder_libraries() -> dict[str, Path]:
    """By the level of CPUs that each is for; raises Failure when they can't be compiled."""
    folder = ROOT / "native" / _NAME
    sources, headers = sorted(folder.glob("*.c")), sorted(folder.glob("*.h"))
    return {
        level: compiled_library(f"{_NAME}_{level}", sources, headers, cpu) for level, cpu in _CPUS.items()
    }
