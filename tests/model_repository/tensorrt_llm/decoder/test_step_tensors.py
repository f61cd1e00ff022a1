import numpy as np
from batching.kv_blocks import BlockTable
from batching.paged_sequence import DecodingRequest, PagedSequence
from batching.step_scheduler import Chunk
from contract.sampling import Sampling
from decoder.step_tensors import step_tensors


def sequence(ids: range, blocks: list[int]) -> PagedSequence:
    result = PagedSequence(DecodingRequest(ids, Sampling()))
    result.table = BlockTable(blocks)
    return result


def test_inputs_of_a_step() -> None:
    chunks = [
        Chunk(sequence(range(100, 171), [5, 3, 9]), start=70, num_tokens=1, num_rows=1, is_last=True),
        Chunk(sequence(range(300, 340), [2, 8, 4]), start=0, num_tokens=30, num_rows=0, is_last=False),
        Chunk(sequence(range(500, 503), [7]), start=1, num_tokens=2, num_rows=2, is_last=True),
    ]
    tensors = step_tensors(chunks)
    assert tensors["input_ids"].tolist() == [170, *range(300, 330), 501, 502]
    assert tensors["position_ids"].tolist() == [70, *range(30), 1, 2]
    assert tensors["subsequence_begins"].tolist() == [0, 1, 31, 33]
    assert tensors["block_indices"].tolist() == [5, 3, 9, 2, 7]
    assert tensors["block_indices_begins"].tolist() == [0, 3, 4, 5]
    assert tensors["rows"].tolist() == [0, 31, 32]
    assert {name for name, tensor in tensors.items() if tensor.dtype == np.int64} == {
        "input_ids",
        "position_ids",
        "rows",
    }


def test_drafted_ids_are_spans_of_their_own_on_the_same_blocks() -> None:
    chunk = Chunk(sequence(range(100, 131), [5, 3]), 30, 1, 1, is_last=True, draft=[40, 41, 42])
    tensors = step_tensors([chunk])
    assert tensors["input_ids"].tolist() == [130, 40, 41, 42]
    assert tensors["position_ids"].tolist() == [30, 31, 32, 33]
    assert tensors["subsequence_begins"].tolist() == [0, 1, 2, 3, 4]
    assert tensors["block_indices"].tolist() == [5, 5, 5, 3, 5, 3]
    assert tensors["block_indices_begins"].tolist() == [0, 1, 2, 4, 6]
    assert tensors["rows"].tolist() == [0, 1, 2, 3]
