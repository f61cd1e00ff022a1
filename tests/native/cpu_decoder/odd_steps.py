"""Steps of odd shapes by a library of cpu_decoder, for sanitizers: `odd_steps.py LIBRARY FOLDER`."""

import ctypes
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT / "model_repository" / "tensorrt_llm" / "1"), str(ROOT)]

from batching.kv_blocks import BlockTable, num_blocks_for  # noqa: E402
from batching.paged_sequence import DecodingRequest, PagedSequence  # noqa: E402
from batching.step_scheduler import Chunk  # noqa: E402
from contract.sampling import Sampling  # noqa: E402
from decoder.native_decoder import NativeDecoder  # noqa: E402
from decoder.weights import FILE_NAME, read_decoder_weights  # noqa: E402

from build.checkpoint.safetensors import SafetensorsCheckpoint  # noqa: E402
from build.cpu.engine_file import write_engine_file  # noqa: E402
from tests.build.tiny_llama import tiny_config, write_hugging_face  # noqa: E402

# Heads of each size that there is, and up to as many of them as share one of keys and values.
SHAPES = (
    {"hidden_size": 64, "num_attention_heads": 1, "num_key_value_heads": 1, "vocab_size": 261},
    {"hidden_size": 384, "num_attention_heads": 6, "num_key_value_heads": 2, "intermediate_size": 192},
    {"hidden_size": 192, "num_attention_heads": 1, "num_key_value_heads": 1, "tie_word_embeddings": False},
    {"hidden_size": 256, "num_attention_heads": 1, "num_key_value_heads": 1},
    {"hidden_size": 1536, "num_attention_heads": 24, "num_key_value_heads": 1, "intermediate_size": 64},
)
# Of several texts at once: fewer rows than a tile, none left over, some left over.
LENGTHS = ((1,), (5,), (3, 1, 2), (31, 33, 1), (128, 7), (129, 64, 13, 6))


def main() -> None:
    library, folder = ctypes.CDLL(sys.argv[1]), Path(sys.argv[2])
    for number, shape in enumerate(SHAPES):
        engine = write_hugging_face(folder / str(number), tiny_config(**shape))
        checkpoint = SafetensorsCheckpoint(engine / "config.json", [engine / "model.safetensors"])
        write_engine_file(checkpoint, engine / FILE_NAME, lambda: None)
        decoder = NativeDecoder(read_decoder_weights(engine), 12, num_threads=3, library=library)
        for lengths in LENGTHS:
            logits = decoder.infer(_chunks(lengths))
            assert np.isfinite(logits).all()
            _rank(library, logits)


def _chunks(lengths: tuple[int, ...]) -> list[Chunk]:
    chunks, num_blocks = [], 0
    for length in lengths:
        sequence = PagedSequence(DecodingRequest([*range(length)], Sampling()))
        end = num_blocks + num_blocks_for(length)
        sequence.table = BlockTable([*range(num_blocks, end)][::-1])
        chunks.append(Chunk(sequence, 0, length, length, is_last=True))
        num_blocks = end
    return chunks


def _rank(library: ctypes.CDLL, logits: np.ndarray) -> None:
    rows, vocab_size, stride = *logits.shape, logits.strides[0] // 4
    temperatures = np.ones(rows, np.float32)
    for num_ranked in (1, 64):
        ids = np.empty([rows, num_ranked], np.int32)
        ranked, log_sums = np.empty([rows, num_ranked], np.float32), np.empty(rows, np.float32)
        arrays = [ctypes.c_void_p(it.ctypes.data) for it in (logits, temperatures, ids, ranked, log_sums)]
        sizes = (ctypes.c_int64(stride), rows, vocab_size)
        library.rank_logits(arrays[0], *sizes, arrays[1], num_ranked, *arrays[2:])
        assert (ids[:, 0] == logits.argmax(1)).all()


if __name__ == "__main__":
    main()
