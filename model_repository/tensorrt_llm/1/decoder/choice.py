"""What computes the logits: cpu_decoder where the CPU and the engine are its own, else OpenVINO."""

import logging
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Protocol

from batching.step_scheduler import Chunk
from contract.tensors import Logits

from decoder.cpu_inference import read_model
from decoder.native_decoder import NativeDecoder
from decoder.paged_model import PagedModel
from decoder.usable_cores import count_usable_cores
from decoder.weights import UnsuitableEngine, read_decoder_weights

LIBRARY = "libcpu_decoder.so"

# With AMX OpenVINO has instructions that cpu_decoder does not use; which is faster then was not measured.
_NEEDED_FLAGS = frozenset({"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx512_vnni"})
_BETTER_FLAG = "amx_int8"

_log = logging.getLogger("tensorrt_llm")


class Decoder(Protocol):
    vocab_size: int

    def infer(self, chunks: Sequence[Chunk]) -> Logits:
        """The wanted rows, [rows, vocab_size], to read and change until the next call."""
        ...


def open_decoder(engine: Path, num_blocks: int) -> Decoder:
    """Raises RuntimeError for an engine that is none."""
    library = find_library(sys.path)
    if library is None or not suits(cpu_flags()):
        return PagedModel(engine, num_blocks)
    try:
        weights = read_decoder_weights(read_model(engine / "openvino_model.xml"))
    except UnsuitableEngine as reason:
        _log.info("OpenVINO computes this engine: it has %s.", reason)
        return PagedModel(engine, num_blocks)
    return NativeDecoder(weights, num_blocks, count_usable_cores(), library)


def find_library(folders: Sequence[str]) -> Path | None:
    """Where Python's modules are looked for: engine_process has the library beside its own."""
    return next((path for path in (Path(folder) / LIBRARY for folder in folders) if path.is_file()), None)


def suits(flags: Collection[str]) -> bool:
    return _NEEDED_FLAGS.issubset(flags) and _BETTER_FLAG not in flags


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """As Linux names what the first core can do."""
    for line in cpuinfo.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            return frozenset(value.split())
    return frozenset()
