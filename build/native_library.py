"""Libraries in C, compiled once: by the machine's own compiler, or where it has none by a fetched one."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from build.errors import Failure
from build.locked_wheels import install
from build.paths import CACHE

_LOCK = Path(__file__).with_name("ziglang.txt")
# Never the machine's own: what an image is built with runs anywhere.
ANY_CPU = "x86_64"
# Without contraction, which is each compiler's own choice: the same numbers whoever compiles.
_FLAGS = (
    *("-std=gnu11", "-O2", "-ffp-contract=off", "-Wall", "-Wextra"),
    *("-fPIC", "-shared", "-fvisibility=hidden"),
)
# Loops of vectors are clang's or zig's, which is a clang: GCC 12's code of cpu_decoder takes 1.1 to 1.3 times
# as long for a prompt (docs/performance.md).
_PLAIN_COMPILERS = ("cc", "gcc", "clang")
_VECTOR_COMPILERS = ("clang",)
_LIBRARIES = ("-lpthread", "-lm")
_ZIG_CACHES = dict.fromkeys(("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"), str(CACHE / "zig"))
# An old compiler may not know the CPU, and a bare one has no C library to include.
_PROBE = "#include <math.h>\n#include <pthread.h>\nint probe(void) { return 0; }\n"


@dataclass(frozen=True)
class Compiler:
    """A command that takes a C compiler's arguments, and what distinguishes its results from another's."""

    command: tuple[str, ...]
    identity: str
    is_zig: bool = False

    def run(self, *arguments: str, source: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command, *_FLAGS, *arguments, *_LIBRARIES],
            input=source,
            capture_output=True,
            text=True,
            env={**os.environ, **_ZIG_CACHES},
            check=False,
        )


def compiled_library(name: str, folders: Sequence[Path], cpu: str = ANY_CPU) -> Path:
    """libNAME.so of the folders' C files, for a CPU as zig names it, x86_64_v4+avx512vnni; raises Failure."""
    compiler = find_compiler(cpu)
    files = _files(folders)
    library = _place(name, files, cpu, compiler)
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        with (CACHE / "native-library.lock").open("w") as turn:
            # One at a time: who comes second finds it there.
            fcntl.flock(turn, fcntl.LOCK_EX)
            if not library.exists():
                _compile(compiler, files, library)
    return library


def is_compiled(name: str, folders: Sequence[Path], cpu: str = ANY_CPU) -> bool:
    """Whether `compiled_library` would find it."""
    return _place(name, _files(folders), cpu, find_compiler(cpu)).exists()


def _files(folders: Sequence[Path]) -> list[Path]:
    return sorted(path for folder in folders for path in folder.glob("*.[ch]"))


def _place(name: str, files: Sequence[Path], cpu: str, compiler: Compiler) -> Path:
    # This file has the compiler's options.
    return CACHE / f"{name}-{digest(*files, cpu, compiler.identity, Path(__file__))}" / f"lib{name}.so"


def digest(*parts: Path | str) -> str:
    """A part of a folder's name that changes with files and texts."""
    contents = (part.read_bytes() if isinstance(part, Path) else part.encode() for part in parts)
    return hashlib.sha256(b"".join(contents)).hexdigest()[:12]


def find_compiler(cpu: str) -> Compiler:
    """The machine's, where it has one that compiles for this CPU; else zig."""
    for name in _PLAIN_COMPILERS if cpu == ANY_CPU else _VECTOR_COMPILERS:
        path = shutil.which(name)
        if path is not None and (compiler := _own_compiler(path, cpu)) is not None:
            return compiler
    return _zig(cpu)


def _own_compiler(path: str, cpu: str) -> Compiler | None:
    """None where it does not compile."""
    family, *extensions = cpu.split("+")
    target = (f"-march={family.replace('_', '-')}", *(f"-m{extension}" for extension in extensions))
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    compiler = Compiler((path, *target), version)
    probe = compiler.run("-fsyntax-only", "-x", "c", "-", source=_PROBE)
    return None if probe.returncode else compiler


def _zig(cpu: str) -> Compiler:
    """A compiler with its own C library, the same everywhere; fetched when it has something to compile."""
    command = (str(_zig_folder() / "ziglang" / "zig"), "cc", f"-mcpu={cpu}")
    return Compiler(command, _LOCK.read_text(encoding="utf-8"), is_zig=True)


def _zig_folder() -> Path:
    return CACHE / f"ziglang-{digest(_LOCK)}"


def _fetch_zig() -> None:
    if not _zig_folder().exists():
        print("fetching a C compiler (ziglang, 100 MB)", flush=True)
        with tempfile.TemporaryDirectory(prefix="ziglang.", dir=CACHE) as scratch:
            install(_LOCK, Path(scratch) / "whole")
            (Path(scratch) / "whole").rename(_zig_folder())


def _compile(compiler: Compiler, files: Sequence[Path], library: Path) -> None:
    """Beside its place: a library is whole as soon as it is there."""
    if compiler.is_zig:
        _fetch_zig()
    print(f"compiling {library.name}", flush=True)
    includes = sorted({f"-I{path.parent}" for path in files})
    sources = [str(path) for path in files if path.suffix == ".c"]
    with tempfile.TemporaryDirectory(dir=library.parent) as scratch:
        partial = Path(scratch) / library.name
        done = compiler.run(*includes, "-o", str(partial), *sources)
        if done.returncode:
            raise Failure(f"{library.name} does not compile:\n{done.stderr}")
        partial.rename(library)
