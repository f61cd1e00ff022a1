"""Computes logits with a new engine as serving does: `python -m build.cpu.check FOLDER LOGITS ID...`."""

import sys
from pathlib import Path

import numpy as np

from build.cpu.library import decoder_libraries
from build.paths import ROOT

MODULES = ROOT / "model_repository" / "tensorrt_llm" / "1"


def main() -> int:
    libraries = [str(library.parent) for library in decoder_libraries().values()]
    sys.path[:0] = [str(MODULES), *libraries]
    from batching.kv_blocks import BlockTable
    from batching.paged_sequence import DecodingRequest, PagedSequence
    from batching.step_scheduler import Chunk
    from contract.sampling import Sampling
    from decoder.choice import open_decoder

    folder, path = map(Path, sys.argv[1:3])
    ids = [int(word) for word in sys.argv[3:]]
    sequence = PagedSequence(DecodingRequest(ids, Sampling()))
    sequence.table = BlockTable([0])
    decoder = open_decoder(folder, num_blocks=1)
    np.save(path, decoder.infer([Chunk(sequence, 0, len(ids), len(ids), is_last=True)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
