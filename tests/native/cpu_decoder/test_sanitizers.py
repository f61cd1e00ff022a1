"""No kernel goes beyond what it is given, does what C leaves open, or races with another thread."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from decoder.cpu_level import LEVELS, cpu_flags

from build.paths import ROOT

FLAGS = {
    "avx512": "-march=x86-64-v4 -mavx512vnni",
    "avxvnni": "-march=x86-64-v3 -mavxvnni",
    "avx2": "-march=x86-64-v3",
}
ODD_STEPS = Path(__file__).with_name("odd_steps.py")
# Python and numpy leave memory behind at the end.
OPTIONS = {"ASAN_OPTIONS": "detect_leaks=0", "TSAN_OPTIONS": "exitcode=66", "OPENBLAS_NUM_THREADS": "1"}
pytestmark = pytest.mark.skipif(
    shutil.which("gcc") is None, reason="gcc, which has the sanitizers, is not here"
)


def sanitized(level: str, sanitizers: str, folder: Path) -> Path:
    library = folder / f"libcpu_decoder_{level}.so"
    sources = map(str, sorted((ROOT / "native" / "cpu_decoder").glob("*.c")))
    options = f"-std=gnu11 -O1 -g -ffp-contract=off -fPIC -shared -fvisibility=hidden {FLAGS[level]}"
    options += f" -fsanitize={sanitizers} -fno-sanitize-recover=all"
    command = ["gcc", *options.split(), *sources, "-o", str(library), "-lm", "-lpthread"]
    subprocess.run(command, check=True)
    return library


def runtime(name: str) -> str:
    command = ["gcc", f"-print-file-name=lib{name}.so"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("sanitizers", "preloaded"), [("address,undefined", "asan"), ("thread", "tsan")])
def test_odd_steps_are_clean(level: str, sanitizers: str, preloaded: str, tmp_path: Path) -> None:
    lacking = LEVELS[level] - cpu_flags()
    if lacking:
        pytest.skip(f"{level} needs {', '.join(sorted(lacking))}, which this CPU has not")
    library = sanitized(level, sanitizers, tmp_path)
    done = subprocess.run(
        [sys.executable, str(ODD_STEPS), str(library), str(tmp_path)],
        env={**os.environ, **OPTIONS, "LD_PRELOAD": runtime(preloaded)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
