"""Compiling what tritonserver loads."""

import ctypes
from pathlib import Path

import pytest

from build.errors import Failure
from build.native_library import compiled_library


def test_what_compiles_is_compiled_once(tmp_path: Path) -> None:
    source, header = tmp_path / "seven.c", tmp_path / "seven.h"
    header.write_text("enum { SEVEN = 7 };")
    source.write_text(
        '#include "seven.h"\n__attribute__((visibility("default"))) int seven(void) { return SEVEN; }\n'
    )
    library = compiled_library("tried", [source], [header])
    assert ctypes.CDLL(str(library)).seven() == 7
    changed_at = library.stat().st_mtime_ns
    assert compiled_library("tried", [source], [header]) == library
    assert library.stat().st_mtime_ns == changed_at
    header.write_text("enum { SEVEN = 8 };")
    assert compiled_library("tried", [source], [header]) != library


def test_what_does_not_compile_says_why(tmp_path: Path) -> None:
    source = tmp_path / "wrong.c"
    source.write_text("int wrong(void) { return nothing; }")
    with pytest.raises(Failure, match=r"libwrong.so does not compile:(.|\n)*nothing"):
        compiled_library("wrong", [source], [])
