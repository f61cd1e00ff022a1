"""Makes an OpenVINO engine of a checkpoint, and proves that it can be served."""

import subprocess
import sys
from pathlib import Path

import openvino as ov

from build.checkpoint.checkpoint import Checkpoint
from build.cpu.graph import LlamaGraph
from build.cpu.weights import PRECISIONS, stored_bytes
from build.errors import BuildError
from build.paths import ROOT
from build.progress import Reporter

KIND = "openvino"
MODEL_FILES = ("openvino_model.xml", "openvino_model.bin")

# The graph itself and the alignment of the weights.
_FIXED_BYTES = 16 << 20


def engine_bytes(checkpoint: Checkpoint, precision: str) -> int:
    """About how much disk the engine will take."""
    return stored_bytes(checkpoint.config, precision) + _FIXED_BYTES


def write_engine(checkpoint: Checkpoint, precision: str, folder: Path, reporter: Reporter) -> None:
    """Writes the model files into a new folder."""
    folder.mkdir()
    layers = checkpoint.config.num_layers
    with reporter.step(f"Building the graph of {layers} layers in {precision}", layers) as advance:
        model = LlamaGraph(checkpoint, PRECISIONS[precision]).build(lambda: advance(1))
    with reporter.step("Saving the engine"):
        _save(model, folder / MODEL_FILES[0])


def _save(model: ov.Model, path: Path) -> None:
    try:
        ov.save_model(model, path, compress_to_fp16=False)
    except RuntimeError as error:
        # OpenVINO tells no reason, and what else can fail has been tried by now: the folder is writable.
        raise BuildError(
            f"{path} could not be saved, most likely because the disk is full: {error}."
        ) from error


def try_engine(folder: Path, reporter: Reporter) -> None:
    """Answers in a process of its own, so that a crash of native code is an error like any other."""
    with reporter.step("Loading the engine and answering with it"):
        command = [sys.executable, "-m", "build.cpu.trial", str(folder)]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if result.returncode:
        reason = (result.stderr.strip().splitlines() or [f"exit status {result.returncode}"])[-1]
        raise BuildError(f"The new engine does not run: {reason}")
