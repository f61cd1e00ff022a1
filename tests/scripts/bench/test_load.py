import asyncio
import json

import pytest

from scripts.bench.load import BrokenStream, RawStream, _lengths, stream, whole

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
USAGE = b'data: {"choices":[],"usage":{"completion_tokens":3}}\n\n'
DONE = b"data: [DONE]\n\n"


def frame(text: str) -> bytes:
    return b"data: " + json.dumps({"choices": [{"text": text}]}, separators=(",", ":")).encode() + b"\n\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


ANSWER = HEAD + b"".join(map(chunk, [frame(" a"), frame(" b") + frame(" c"), frame(""), USAGE, DONE, b""]))


async def served(pieces: list[bytes]) -> RawStream:
    is_over = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0)
        writer.close()
        is_over.set()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        try:
            return await stream(server.sockets[0].getsockname()[1], {})
        finally:
            await is_over.wait()


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_text_and_times_however_the_answer_is_cut(size: int) -> None:
    pieces = [ANSWER[start : start + size] for start in range(0, len(ANSWER), size)]
    received = asyncio.run(served(pieces))
    assert (received.texts, received.usage["completion_tokens"]) == (b" a b c", 3)
    assert len(received.arrivals) == 3
    assert list(received.num_words_by) == [1, 2, 3]
    assert list(received.arrivals) == sorted(received.arrivals)


@pytest.mark.parametrize(
    "answer",
    [
        ANSWER[: ANSWER.index(b"[DONE]")],
        ANSWER.replace(chunk(DONE), b""),
        b"HTTP/1.1 429 Too Many Requests\r\n\r\n{}",
        b"",
    ],
)
def test_what_is_not_whole_is_an_error(answer: bytes) -> None:
    with pytest.raises(BrokenStream):
        asyncio.run(served([answer]))


def test_whole_answer() -> None:
    async def run() -> object:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{"a": 1}')
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            return await whole(server.sockets[0].getsockname()[1], {})

    assert asyncio.run(run()) == {"a": 1}


@pytest.mark.parametrize(
    ("share", "num_answers", "lengths"),
    [
        (0.5, 1, [300]),
        (0, 3, [300, 300, 300]),
        (0.25, 3, [225, 300, 300, 75]),
        (0.999, 3, [300, 300, 300]),
    ],
)
def test_streams_have_as_many_tokens_and_begin_answers_at_different_times(
    share: float, num_answers: int, lengths: list[int]
) -> None:
    assert _lengths(share, 300, num_answers) == lengths
