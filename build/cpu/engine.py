"""Makes the CPU engine of a checkpoint, and proves that it computes what the checkpoint says."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from build.checkpoint.checkpoint import Checkpoint
from build.cpu import engine_file
from build.cpu.reference import Floats, reference_logits
from build.errors import BuildError
from build.paths import ROOT
from build.progress import Reporter

KIND = "cpu_decoder"
MODEL_FILES = (engine_file.FILE_NAME,)
PRECISIONS = ("int8",)
# Of other engines; refused by name.
NO_PRECISIONS = ("int4", "bf16", "f16")

# Of the logits' spread. Bytes make up to a third of it for control tokens of the embedded model, which have
# activations far above all others; a wrong rotation or a matrix in another's place makes more than 1.
_LARGEST_ERROR = 0.5
_IDS = (0, 1, 2, 3)
_HEADER_BYTES = 1 << 20


def engine_bytes(checkpoint: Checkpoint) -> int:
    """About how much disk the engine will take; raises BuildError for a model that it can't compute."""
    engine_file.check_sizes(checkpoint.config)
    return engine_file.engine_bytes(checkpoint.config) + _HEADER_BYTES


def write_engine(checkpoint: Checkpoint, folder: Path, reporter: Reporter) -> None:
    """Writes the model file into a new folder."""
    folder.mkdir()
    layers = checkpoint.config.num_layers
    with reporter.step(f"Rounding the weights of {layers} layers to int8", layers) as advance:
        engine_file.write_engine_file(checkpoint, folder / engine_file.FILE_NAME, lambda: advance(1))


def check_engine(checkpoint: Checkpoint, folder: Path, reporter: Reporter) -> None:
    """Holds its logits of a few ids against arithmetic on the checkpoint; raises BuildError."""
    with reporter.step("Computing with the engine and with the checkpoint"):
        logits = _logits(folder)
        expected = reference_logits(checkpoint, _IDS)
    error = float(np.sqrt(np.square(logits - expected).mean()) / expected.std())
    if not error < _LARGEST_ERROR:
        raise BuildError(f"The new engine's logits differ from the model's by {error:.2f} of their spread.")


def _logits(folder: Path) -> Floats:
    """In a process of its own, so that a crash of native code is an error like any other."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "logits.npy"
        command = [sys.executable, "-m", "build.cpu.check", str(folder), str(path), *map(str, _IDS)]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if result.returncode == 0:
            logits: Floats = np.load(path)
            return logits
    reason = (result.stderr.strip().splitlines() or [f"exit status {result.returncode}"])[-1]
    raise BuildError(f"The new engine does not run: {reason}")
