"""The library of native/cpu_decoder that is for this CPU."""

import ctypes
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from decoder.cpu_level import VARIABLE, UnsuitableCpu, choose_level, cpu_flags, library_name


def load_library() -> ctypes.CDLL:
    """Raises UnsuitableCpu, and OSError for a library that is none."""
    return ctypes.CDLL(str(find_library(sys.path, choose_level(cpu_flags(), os.environ.get(VARIABLE)))))


def find_library(folders: Sequence[str], level: str) -> Path:
    """Where Python's modules are looked for: engine_process has the libraries beside its own."""
    name = library_name(level)
    for path in (Path(folder) / name for folder in folders):
        if path.is_file():
            return path
    raise UnsuitableCpu(f"{name} is in none of the folders of Python's modules; engine_process has it.")


def address(array: NDArray[np.generic]) -> int:
    return array.ctypes.data
