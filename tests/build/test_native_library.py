"""Compiling what tritonserver loads."""

import ctypes
import os
import shutil
from pathlib import Path

import pytest

from build.errors import Failure
from build.native_library import ANY_CPU, compiled_library, find_compiler
from build.paths import ROOT
from serving.backends import DECODER_CPUS

AVX512 = "x86_64_v4+avx512vnni"


def write_seven(folder: Path) -> None:
    (folder / "seven.h").write_text("enum { SEVEN = 7 };")
    (folder / "seven.c").write_text(
        '#include "seven.h"\n__attribute__((visibility("default"))) int seven(void) { return SEVEN; }\n'
    )


def test_what_compiles_is_compiled_once(tmp_path: Path) -> None:
    write_seven(tmp_path)
    library = compiled_library("tried", [tmp_path])
    assert ctypes.CDLL(str(library)).seven() == 7
    changed_at = library.stat().st_mtime_ns
    assert compiled_library("tried", [tmp_path]) == library
    assert library.stat().st_mtime_ns == changed_at
    (tmp_path / "seven.h").write_text("enum { SEVEN = 8 };")
    assert compiled_library("tried", [tmp_path]) != library


def test_what_does_not_compile_says_why(tmp_path: Path) -> None:
    (tmp_path / "wrong.c").write_text("int wrong(void) { return nothing; }")
    with pytest.raises(Failure, match=r"libwrong.so does not compile:(.|\n)*nothing"):
        compiled_library("wrong", [tmp_path])


def own_compiler() -> str:
    path = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if path is None:
        pytest.skip("this machine has no C compiler")
    return path


def test_the_machines_own_compiler_is_taken_where_there_is_one() -> None:
    assert find_compiler(ANY_CPU).command == (own_compiler(), "-march=x86-64")


def test_loops_of_vectors_are_not_gccs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "cc").write_text("#!/bin/sh\necho gcc 99\n")
    (tmp_path / "cc").chmod(0o755)
    assert find_compiler(AVX512).is_zig
    (tmp_path / "clang").write_text("#!/bin/sh\necho clang 99\n")
    (tmp_path / "clang").chmod(0o755)
    command = (str(tmp_path / "clang"), "-march=x86-64-v4", "-mavx512vnni")
    assert find_compiler(AVX512).command == command


@pytest.mark.parametrize("compiler", [None, "#!/bin/sh\necho old 1.0\nexit 1\n"])
def test_zig_is_taken_where_there_is_none_that_compiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiler: str | None
) -> None:
    write_seven(tmp_path)
    by_the_machines = compiled_library("tried", [tmp_path])
    path = tmp_path / "bin"
    path.mkdir()
    if compiler is not None:
        (path / "cc").write_text(compiler)
        (path / "cc").chmod(0o755)
    monkeypatch.setenv("PATH", str(path))
    assert find_compiler(AVX512).command[1:] == ("cc", f"-mcpu={AVX512}")
    library = compiled_library("tried", [tmp_path])
    assert ctypes.CDLL(str(library)).seven() == 7
    if shutil.which("cc", path=os.defpath):
        assert library != by_the_machines


@pytest.mark.parametrize(
    ("name", "cpu"),
    [
        ("engine_process", ANY_CPU),
        ("replay", ANY_CPU),
        *(("cpu_decoder", cpu) for cpu in DECODER_CPUS.values()),
    ],
)
def test_our_sources_compile_without_a_warning(name: str, cpu: str, tmp_path: Path) -> None:
    folders = [ROOT / "native" / name, ROOT / "native" / "triton"]
    sources = [str(path) for path in folders[0].glob("*.c")]
    own_compiler()
    write_seven(tmp_path)
    # Fetches the compiler, where it is not the machine's.
    compiled_library("tried", [tmp_path], cpu)
    done = find_compiler(cpu).run(
        "-Werror", *(f"-I{folder}" for folder in folders), "-o", str(tmp_path / "library.so"), *sources
    )
    assert not done.returncode, done.stderr
