"""Whatever bytes the engine makes, and however they are cut: the deltas of the stream are the text, once."""

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.triton_server import FakeTriton, Script, tokens
from tests.frontend.conftest import MODEL
from tests.fuzzing import examples

# Every byte is a token, so that a cut may lie anywhere within a character.
BYTES = [tokens(bytes([value]))[0] for value in range(256)]
# What might be taken for a frame's end, a line's end or a frame, and bytes that are no UTF-8.
TRAPS = st.sampled_from(
    [b"\n\n", b"\r\n", b"data: [DONE]\n\n", "\u2028\x85\0".encode(), b"\xf0\x9f", b"\xff"]
)
TEXTS = st.lists(st.text(max_size=6).map(str.encode) | TRAPS, max_size=6).map(b"".join)
CUTS = st.lists(st.integers(0, 60), max_size=8)
# Enough for most pieces to come apart from the next one.
PAUSE_S = 0.005
STOPS = st.none() | st.text("ab\u00e9\n", min_size=1, max_size=3)
PATHS: dict[str, dict[str, Any]] = {
    "/v1/completions": {"prompt": "hi", "max_tokens": 4000},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
}


def cut(text: bytes, cuts: list[int]) -> Iterator[bytes]:
    edges = [0, *sorted(at % (len(text) + 1) for at in cuts), len(text)]
    return (text[start:end] for start, end in itertools.pairwise(edges))


def deltas(stream: bytes) -> Iterator[str]:
    """By the letter of the format: nothing but data lines, each followed by an empty one."""
    *frames, done, rest = stream.split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    for frame in frames:
        assert frame.startswith(b"data: ")
        assert b"\n" not in frame
        assert b"\r" not in frame
        for choice in json.loads(frame.removeprefix(b"data: "))["choices"]:
            yield choice["text"] if "text" in choice else choice["delta"].get("content") or ""


@pytest.mark.row(50)
@pytest.mark.parametrize("path", PATHS)
@examples(60)
@given(data=TEXTS, cuts=CUTS, stop=STOPS)
def test_the_deltas_are_the_text(
    http: httpx.Client, fake: FakeTriton, path: str, data: bytes, cuts: list[int], stop: str | None
) -> None:
    pieces = [[BYTES[value] for value in piece] for piece in cut(data, cuts)]
    fake.reset(Script(pieces, pause_s=PAUSE_S))
    answer = http.post(path, json={"model": MODEL, "stream": True, "stop": stop, **PATHS[path]})
    assert answer.status_code == 200
    text = data.decode("utf-8", "replace")
    assert "".join(deltas(answer.content)) == (text.partition(stop)[0] if stop else text)


WORDS = [tokens(word) for word in ("one", " the", "n two", " three", " the end", " four", " five", " six")]


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("path", PATHS)
def test_a_stop_string_ends_the_generation_of_a_whole_answer(
    http: httpx.Client, fake: FakeTriton, path: str, n: int
) -> None:
    fake.reset(Script([*WORDS[:3], *[tokens(" never")] * 300], pause_s=PAUSE_S))
    body = http.post(path, json={"model": MODEL, "n": n, **PATHS[path], "stop": ["the"]}).json()
    assert [choice["finish_reason"] for choice in body["choices"]] == ["stop"] * n
    assert body["usage"]["completion_tokens"] == 2 * n
    assert fake.stop_ended.wait(5)


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize(
    ("stop", "extra", "text", "listed"),
    [
        ("the", {}, "one ", ["one", " the"]),
        ("then t", {}, "one ", ["one", " the"]),
        ("one", {}, "", []),
        ("two", {"include_stop_str_in_output": True}, "one then two", ["one", " the", "n two"]),
        ("the", {"min_tokens": 2}, "one then two three ", ["one", " the", "n two", " three", " the end"]),
        ("the", {"min_tokens": 1}, "one ", ["one", " the"]),
        (
            "end four",
            {"min_tokens": 5},
            "one then two three the ",
            [piece[1].decode() for [piece] in WORDS[:5]],
        ),
        ("?", {}, "".join(piece[1].decode() for [piece] in WORDS), [piece[1].decode() for [piece] in WORDS]),
    ],
)
def test_tokens_are_listed_that_begin_in_the_text(
    http: httpx.Client,
    fake: FakeTriton,
    is_streamed: bool,
    stop: str,
    extra: dict[str, Any],
    text: str,
    listed: list[str],
) -> None:
    fake.reset(Script(WORDS))
    body = {"model": MODEL, "prompt": "hi", "logprobs": 0, "stop": stop, "stream": is_streamed, **extra}
    answer = http.post("/v1/completions", json=body)
    frames = re.findall(r"^data: (\{.*)$", answer.text, re.MULTILINE) if is_streamed else [answer.text]
    choices = [json.loads(frame)["choices"][0] for frame in frames]
    assert "".join(choice["text"] for choice in choices) == text
    told = [choice["logprobs"] for choice in choices if choice["logprobs"]]
    assert [token for logprobs in told for token in logprobs["tokens"]] == listed
    assert all(offset < len(text) for logprobs in told for offset in logprobs["text_offset"])
