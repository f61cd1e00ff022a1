from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from chunk_decoder import ChunkDecoder
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from prompt_tokenizer import PromptTokenizer

from tests.fuzzing import examples
from tests.model_repository.preprocess.reference import Reference

BOTH = ["text_output", "output_bytes"]
ids_with_cuts = st.lists(st.lists(st.integers(0, 128255), max_size=6), max_size=8)


def decode(decoder: ChunkDecoder, *rows: list[int], wanted: list[str] = BOTH) -> dict[str, NDArray[Any]]:
    """Shorter rows are padded with -1, as the engine does for beams."""
    width = max(map(len, rows))
    padded = [row + [-1] * (width - len(row)) for row in rows]
    lengths = np.array([[len(row) for row in rows]], np.int32)
    return decoder.decode(np.array([padded], np.int32).reshape(1, len(rows), width), lengths, wanted)


def output_bytes(decoder: ChunkDecoder, ids: list[int]) -> list[bytes]:
    return list(decode(decoder, ids)["output_bytes"][0])


@examples(300, repeats=True)
@given(chunks=ids_with_cuts)
def test_the_bytes_of_the_chunks_are_those_of_the_whole(
    chunks: list[list[int]], decoder: ChunkDecoder, reference: Reference
) -> None:
    ids = [index for chunk in chunks for index in chunk]
    pieces = [piece for chunk in chunks for piece in output_bytes(decoder, chunk)]
    assert len(pieces) == len(ids)
    text_ids = [index for index in ids if index < 128000]
    text_pieces = [piece for index, piece in zip(ids, pieces, strict=True) if index < 128000]
    assert b"".join(text_pieces) == reference.tokenizer.model.decode_bytes(text_ids)


@examples(300, repeats=True)
@given(text=st.text(), cuts=st.lists(st.integers(0, 40)))
def test_a_text_survives_both_models_however_it_is_cut(
    text: str, cuts: list[int], decoder: ChunkDecoder, tokenizer: PromptTokenizer
) -> None:
    ids = tokenizer.encode(text)
    borders = [0, *sorted(min(cut, len(ids)) for cut in cuts), len(ids)]
    chunks = [ids[start:end] for start, end in pairwise(borders)]
    assert b"".join(piece for chunk in chunks for piece in output_bytes(decoder, chunk)) == text.encode()
    assert decode(decoder, ids)["text_output"].tolist() == [[text.encode()]]


def test_every_token_of_the_vocabulary_has_the_bytes_that_meta_gives_it(
    decoder: ChunkDecoder, reference: Reference
) -> None:
    pieces = output_bytes(decoder, list(range(128000)))
    assert pieces == [reference.tokenizer.model.decode_single_token_bytes(index) for index in range(128000)]


@pytest.mark.row(50)
@examples(300, repeats=True)
@given(chunks=ids_with_cuts)
def test_text_output_is_always_valid_utf_8(chunks: list[list[int]], decoder: ChunkDecoder) -> None:
    for chunk in chunks:
        decode(decoder, chunk)["text_output"][0, 0].decode()


def test_special_tokens_have_their_names_and_no_text(decoder: ChunkDecoder) -> None:
    outputs = decode(decoder, [128009, 9906, 128010])
    assert outputs["output_bytes"].tolist() == [[b"<|eot_id|>", b"Hello", b"<|python_tag|>"]]
    assert outputs["text_output"].tolist() == [[b"Hello"]]


def test_a_character_cut_by_the_chunk_is_replaced_in_text_alone(
    decoder: ChunkDecoder, tokenizer: PromptTokenizer
) -> None:
    ids = tokenizer.encode("\U0001f3f4")
    assert len(ids) > 1
    first = decode(decoder, ids[:1])
    assert first["text_output"].tolist() == [["\ufffd".encode()]]
    assert "\U0001f3f4".encode().startswith(first["output_bytes"][0, 0])


@pytest.mark.parametrize(
    ("rows", "text", "pieces"),
    [
        ([[]], [b""], []),
        ([[9906]], [b"Hello"], [b"Hello"]),
        ([[9906, 1917]], [b"Hello world"], [b"Hello", b" world"]),
        ([[9906, 1917], [9906], []], [b"Hello world", b"Hello", b""], [b"Hello", b" world"]),
    ],
)
def test_shapes(decoder: ChunkDecoder, rows: list[list[int]], text: list[bytes], pieces: list[bytes]) -> None:
    outputs = decode(decoder, *rows)
    assert outputs["text_output"].shape == (1, len(rows))
    assert outputs["text_output"].tolist() == [text]
    assert outputs["output_bytes"].shape == (1, len(pieces))
    assert outputs["output_bytes"].tolist() == [pieces]


@pytest.mark.parametrize("wanted", [[], ["text_output"], ["output_bytes"], BOTH])
def test_only_what_is_wanted_is_made(decoder: ChunkDecoder, wanted: list[str]) -> None:
    assert list(decode(decoder, [9906], wanted=wanted)) == wanted


@pytest.mark.parametrize("index", [-1, 128256, 2**31 - 1])
def test_an_id_beyond_the_vocabulary_is_refused(decoder: ChunkDecoder, index: int) -> None:
    with pytest.raises(ValueError, match="ids from 0 to 128255"):
        decode(decoder, [9906], [9906, index])
