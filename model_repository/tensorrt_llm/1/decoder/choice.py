"""What computes the logits: cpu_decoder where the CPU and the engine are its own, else OpenVINO."""

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from batching.step_scheduler import Chunk
from contract.tensors import Logits

from decoder.cpu_inference import read_model
from decoder.cpu_level import VARIABLE, UnsuitableCpu, choose_level, cpu_flags, library_name
from decoder.native_decoder import NativeDecoder
from decoder.paged_model import PagedModel
from decoder.usable_cores import count_usable_cores
from decoder.weights import UnsuitableEngine, read_decoder_weights

_log = logging.getLogger("tensorrt_llm")


class Decoder(Protocol):
    vocab_size: int

    def infer(self, chunks: Sequence[Chunk]) -> Logits:
        """The wanted rows, [rows, vocab_size], to read and change until the next call."""
        ...


def open_decoder(engine: Path, num_blocks: int) -> Decoder:
    """Raises RuntimeError for an engine that is none."""
    try:
        level = choose_level(cpu_flags(), os.environ.get(VARIABLE))
        library = find_library(sys.path, level)
        if library is None:
            return PagedModel(engine, num_blocks)
        weights = read_decoder_weights(read_model(engine / "openvino_model.xml"))
    except (UnsuitableCpu, UnsuitableEngine) as reason:
        _log.info("OpenVINO computes this engine: %s", reason)
        return PagedModel(engine, num_blocks)
    return NativeDecoder(weights, num_blocks, count_usable_cores(), library)


def find_library(folders: Sequence[str], level: str) -> Path | None:
    """Where Python's modules are looked for: engine_process has the libraries beside its own."""
    paths = (Path(folder) / library_name(level) for folder in folders)
    return next((path for path in paths if path.is_file()), None)
