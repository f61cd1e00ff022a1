"""A reader that falls behind an engine which writes flat out holds a bounded part of the answer."""

import asyncio
import uuid
from collections.abc import Sequence

import pytest
from tritonclient.grpc import model_config_pb2, service_pb2

from frontend.errors import RequestTimeout
from frontend.triton.deadlines import Deadlines
from frontend.triton.response import EngineResponse
from frontend.triton.stream import MAX_WAITING_BYTES, SLICE, GenerationStream
from frontend.triton.tensors import add_input
from frontend.triton.triton import Triton
from tests.fakes.triton_server import FakeTriton, Script, tokens
from tests.fakes.triton_servers import connected, fake_servers

PIECE_BYTES = 100_000
# Twice the bound.
NUM_RESPONSES = 2 * MAX_WAITING_BYTES // PIECE_BYTES
# Of four bytes for each id.
SCRIPT = Script([tokens(*["x"] * (PIECE_BYTES // 4))] * NUM_RESPONSES, ends_by_end_id=False)
# It takes a minute and more where the cores are taken.
TIMEOUT_S = 240


class Reader:
    """Counts responses; one that falls behind takes the first, and the rest when nothing more comes."""

    def __init__(self, falls_behind: bool) -> None:
        self.num_read = 0
        self._falls_behind = falls_behind

    def attach(self, stream: GenerationStream) -> None:
        self.stream = stream

    def receive(self, responses: Sequence[EngineResponse]) -> bool:
        if self._falls_behind and not self.num_read:
            self.stream.pause()
        self.num_read += len(responses)
        return responses[-1].surroundings.is_final


async def read(triton: Triton, fake: FakeTriton, falls_behind: bool) -> int:
    """The number of responses; the engine must have nothing left to do in the end."""
    request = service_pb2.ModelInferRequest(model_name="ensemble", id=uuid.uuid4().hex)
    request.outputs.add(name="output_ids")
    add_input(request, "stream", True, model_config_pb2.DataType.TYPE_BOOL)
    reader = Reader(falls_behind)
    running = asyncio.create_task(triton.infer(request, None, True, reader))
    if falls_behind:
        while not reader.num_read:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.01)
        await at_rest(fake)
        reader.stream.resume()
    try:
        await running
    except RequestTimeout:
        assert falls_behind
    await at_rest(fake)
    return reader.num_read


async def at_rest(fake: FakeTriton) -> None:
    while fake.num_running:  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(0.01)


@pytest.mark.row(47)
@pytest.mark.parametrize("falls_behind", [False, True])
def test_what_waits_for_a_reader_is_bounded(falls_behind: bool) -> None:
    async def run() -> int:
        fake = FakeTriton(SCRIPT)
        async with fake_servers(fake) as servers, connected(servers) as triton:
            await triton.is_ready()
            return await asyncio.wait_for(read(triton, fake, falls_behind), TIMEOUT_S)

    num_read = asyncio.run(run())
    if falls_behind:
        assert MAX_WAITING_BYTES // 2 < num_read * PIECE_BYTES <= MAX_WAITING_BYTES + PIECE_BYTES
    else:
        assert num_read == NUM_RESPONSES


class SlowReader:
    """Takes a slice, and is then full again."""

    def __init__(self) -> None:
        self.num_read = 0

    def attach(self, stream: GenerationStream) -> None:
        self.stream = stream

    def receive(self, responses: Sequence[EngineResponse]) -> bool:
        self.num_read += len(responses)
        self.stream.pause()
        return False


class Standing:
    """A channel whose connection takes every call."""

    @property
    def connection(self) -> "Standing":
        return self

    def start(self, *_: object) -> None:
        return None


def test_a_slow_reader_that_never_quite_catches_up_is_no_lost_one() -> None:
    async def run() -> None:
        reader = SlowReader()
        deadlines = Deadlines(60, 60, 60)
        stream = GenerationStream(
            Standing(),
            service_pb2.ModelInferRequest(),
            deadlines,
            asyncio.get_running_loop().time(),
            True,
            reader,
        )
        stream.pause()
        message = response_of(PIECE_BYTES)
        stream.on_messages([message] * (SLICE + 1))
        # Twice the bound in all, of which a fifth waits at any time.
        for _ in range(2 * MAX_WAITING_BYTES // (PIECE_BYTES * SLICE)):
            stream.on_messages([message] * SLICE)
            stream.resume()
            assert not stream.finished.done()
        assert reader.num_read > MAX_WAITING_BYTES // PIECE_BYTES

    asyncio.run(run())


def response_of(num_bytes: int) -> bytes:
    made = service_pb2.ModelStreamInferResponse()
    made.infer_response.outputs.add(name="output_ids", datatype="INT32", shape=[1, 1, num_bytes // 4])
    made.infer_response.raw_output_contents.append(bytes(num_bytes))
    return made.SerializeToString()
