"""Several Tritons: balancing, failover before the first response, recovery, and who is let in."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence

import grpc
import pytest
from tritonclient.grpc import service_pb2

from frontend.addresses import Name
from frontend.errors import ApiError, EngineFailed, EngineOverloaded, EngineUnavailable, InvalidRequest
from frontend.settings import Settings
from frontend.triton.endpoint import PROBE_ID
from frontend.triton.response import EngineResponse
from frontend.triton.tensors import add_input
from frontend.triton.triton import Triton
from tests.fakes.pulled import pulled
from tests.fakes.triton_server import FakeTriton, Script, Vocabulary, tokens
from tests.fakes.triton_servers import connected, fake_servers

HELLO = [tokens("a"), tokens("b")]
HANGING = Script(HELLO, hangs_after=1)
SILENT = Script(HELLO, hangs_after=0)
QUEUE_FULL = Script(fails_after=0, status=grpc.StatusCode.UNAVAILABLE, details="Exceeds maximum queue size")
SHUTTING_DOWN = Script(fails_after=0, status=grpc.StatusCode.UNAVAILABLE, details="Server is stopping")
SETTLE_S = 5
STRING_TYPE = 13
BOOL_TYPE = 1


def request(name: str) -> service_pb2.ModelInferRequest:
    asked = service_pb2.ModelInferRequest(model_name="ensemble", id=name)
    add_input(asked, "text_input", "hi", STRING_TYPE)
    add_input(asked, "stream", True, BOOL_TYPE)
    asked.outputs.add(name="output_ids")
    return asked


def infer(
    triton: Triton, name: str, conversation: bytes | None = None
) -> AsyncGenerator[EngineResponse, None]:
    return pulled(triton, request(name), conversation)


async def count(triton: Triton, name: str, conversation: bytes | None = None) -> int:
    return len([response async for response in infer(triton, name, conversation)])


async def until(condition: object, timeout_s: float = SETTLE_S) -> None:
    assert callable(condition)
    deadline = asyncio.get_running_loop().time() + timeout_s
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


async def probe_all(triton: Triton) -> None:
    await asyncio.gather(*(endpoint.probe() for endpoint in triton._endpoints._endpoints.values()))


def num_asked(fakes: Sequence[FakeTriton]) -> list[int]:
    return [len(fake.requests) for fake in fakes]


def test_running_generations_are_spread_evenly() -> None:
    async def run() -> None:
        fakes = FakeTriton(HANGING), FakeTriton(HANGING), FakeTriton(HANGING)
        async with fake_servers(*fakes) as servers, connected(servers) as triton:
            await triton.is_ready()
            await until(lambda: len(triton._endpoints.usable) == 3)
            streams = [infer(triton, str(index)) for index in range(12)]
            for stream in streams:
                await anext(stream)
            assert [fake.num_running for fake in fakes] == [4, 4, 4]
            for stream in streams:
                await stream.aclose()
            await until(lambda: [fake.num_running for fake in fakes] == [0, 0, 0])
            # Each was stopped where it ran.
            for fake in fakes:
                assert set(fake.stopped_ids) == {asked.id for asked in fake.requests}

    asyncio.run(run())


def test_a_conversation_stays_where_its_prefix_is() -> None:
    async def run() -> None:
        fakes = FakeTriton(Script(HELLO)), FakeTriton(Script(HELLO)), FakeTriton(Script(HELLO))
        async with fake_servers(*fakes) as servers, connected(servers) as triton:
            await triton.is_ready()
            await until(lambda: len(triton._endpoints.usable) == 3)
            for turn in range(6):
                assert await count(triton, str(turn), b"one conversation") == 3
            assert sorted(num_asked(fakes)) == [0, 0, 6]

    asyncio.run(run())


@pytest.mark.parametrize("script", [QUEUE_FULL, SHUTTING_DOWN])
def test_a_refused_generation_goes_to_the_next(script: Script) -> None:
    async def run() -> None:
        fakes = FakeTriton(script), FakeTriton(Script(HELLO))
        async with fake_servers(*fakes) as servers, connected(servers) as triton:
            await triton.is_ready()
            await until(lambda: len(triton._endpoints.usable) == 2)
            for index in range(6):
                await probe_all(triton)
                assert await count(triton, str(index)) == 3
            assert len(fakes[1].requests) == 6

    asyncio.run(run())


def test_a_full_queue_everywhere_is_overload() -> None:
    async def run() -> None:
        fakes = FakeTriton(QUEUE_FULL), FakeTriton(QUEUE_FULL)
        async with fake_servers(*fakes) as servers, connected(servers) as triton:
            await triton.is_ready()
            await until(lambda: len(triton._endpoints.usable) == 2)
            with pytest.raises(EngineOverloaded):
                await count(triton, "a")
            assert num_asked(fakes) == [1, 1]
            # Full is not broken.
            assert len(triton._endpoints.usable) == 2

    asyncio.run(run())


@pytest.mark.parametrize(
    ("status", "details", "error"),
    [
        (grpc.StatusCode.INTERNAL, "Executor failed", EngineFailed),
        (grpc.StatusCode.INVALID_ARGUMENT, 'x {"message": "m", "param": "p", "code": "c"}', InvalidRequest),
    ],
)
def test_what_is_wrong_with_the_request_is_tried_once(
    status: grpc.StatusCode, details: str, error: type[ApiError]
) -> None:
    async def run() -> None:
        script = Script(fails_after=0, status=status, details=details)
        fakes = FakeTriton(script), FakeTriton(script)
        async with fake_servers(*fakes) as servers, connected(servers) as triton:
            await triton.is_ready()
            with pytest.raises(error):
                await count(triton, "a")
            assert sum(num_asked(fakes)) == 1

    asyncio.run(run())


def test_death_before_the_first_response_moves_a_generation() -> None:
    async def run() -> None:
        fakes = FakeTriton(SILENT), FakeTriton(SILENT)
        async with fake_servers(*fakes) as servers, connected(servers) as triton:
            await triton.is_ready()
            await until(lambda: len(triton._endpoints.usable) == 2)
            counting = asyncio.create_task(count(triton, "a"))
            await until(lambda: sum(num_asked(fakes)) == 1)
            dead = num_asked(fakes).index(1)
            fakes[1 - dead].script = Script(HELLO)
            await servers[dead].kill()
            assert await counting == 3
            assert num_asked(fakes) == [1, 1]

    asyncio.run(run())


def test_a_generation_that_outlived_two_servers_is_not_given_a_third() -> None:
    """It may be what they died of."""

    async def run() -> None:
        fakes = [FakeTriton(SILENT) for _ in range(3)]
        async with fake_servers(*fakes) as servers, connected(servers) as triton:
            await triton.is_ready()
            await until(lambda: len(triton._endpoints.usable) == 3)
            counting = asyncio.create_task(count(triton, "a"))
            for num_dead in (1, 2):
                await until(lambda num_dead=num_dead: sum(num_asked(fakes)) == num_dead)
                running = next(index for index, fake in enumerate(fakes) if fake.num_running)
                await servers[running].kill()
            with pytest.raises(EngineUnavailable):
                await counting
            assert sorted(num_asked(fakes)) == [0, 1, 1]

    asyncio.run(run())


def test_death_after_the_first_response_is_an_error() -> None:
    async def run() -> None:
        fakes = FakeTriton(HANGING), FakeTriton(HANGING)
        async with fake_servers(*fakes) as servers, connected(servers) as triton:
            await triton.is_ready()
            await until(lambda: len(triton._endpoints.usable) == 2)
            stream = infer(triton, "a")
            await anext(stream)
            await servers[num_asked(fakes).index(1)].kill()
            with pytest.raises(EngineUnavailable):
                await anext(stream)
            assert sum(num_asked(fakes)) == 1

    asyncio.run(run())


def test_a_server_that_comes_back_serves_the_next_request() -> None:
    async def run() -> None:
        fake = FakeTriton(Script(HELLO))
        async with fake_servers(fake) as (server,), connected([server]) as triton:
            assert await count(triton, "a") == 3
            await server.kill()
            assert not await triton.is_ready()
            with pytest.raises(EngineUnavailable):
                await triton.served_model()
            fake.configs["ensemble"].parameters["served_model_name"].string_value = "new"
            await server.start()
            # gRPC waits up to a second between two attempts to connect.
            for _ in range(50):
                if await triton.is_ready():
                    break
                await asyncio.sleep(0.1)
            assert await count(triton, "b") == 3
            assert (await triton.served_model()).name == "new"

    asyncio.run(run())


def test_the_frontend_looks_after_its_endpoints_by_itself() -> None:
    async def run() -> None:
        fakes = FakeTriton(Script(HELLO)), FakeTriton(Script(HELLO))
        async with fake_servers(*fakes) as servers, connected(servers) as triton:
            triton.start()
            await until(lambda: len(triton._endpoints.usable) == 2)
            await servers[0].kill()
            await until(lambda: len(triton._endpoints.usable) == 1, 10)
            await servers[0].start()
            await until(lambda: len(triton._endpoints.usable) == 2, 10)

    asyncio.run(run())


@pytest.mark.parametrize("dead_model", ["preprocess", "tensorrt_llm", "postprocess"])
def test_a_dead_model_takes_its_server_out_of_service(dead_model: str) -> None:
    """Triton itself goes on calling it ready."""

    async def run() -> None:
        fakes = FakeTriton(HANGING), FakeTriton(Script(HELLO))
        async with fake_servers(*fakes) as servers, connected(servers) as triton:
            await triton.is_ready()
            await until(lambda: len(triton._endpoints.usable) == 2)
            streams = [infer(triton, str(index)) for index in range(4)]
            for stream in streams:
                await anext(stream)
            assert fakes[0].num_running
            fakes[0].dead_model = dead_model
            await probe_all(triton)
            assert [endpoint.address for endpoint in triton._endpoints.usable] == [servers[1].address]
            assert await count(triton, "next") == 3

    asyncio.run(run())


@pytest.mark.parametrize("dead_model", ["tensorrt_llm", "postprocess"])
def test_what_runs_on_a_dead_engine_does_not_hang(dead_model: str) -> None:
    async def run() -> None:
        fake = FakeTriton(HANGING)
        async with fake_servers(fake) as servers, connected(servers) as triton:
            stream = infer(triton, "a")
            await anext(stream)
            fake.dead_model = dead_model
            assert not await triton.is_ready()
            with pytest.raises(EngineUnavailable):
                await anext(stream)
            fake.dead_model = None

    asyncio.run(run())


def test_readiness_is_that_of_one() -> None:
    async def run() -> None:
        fakes = FakeTriton(), FakeTriton(is_ready=False)
        async with fake_servers(*fakes) as servers, connected(servers) as triton:
            assert await triton.is_ready()
            fakes[0].is_ready = False
            assert not await triton.is_ready()

    asyncio.run(run())


def test_two_late_probes_may_be_load_and_three_are_not() -> None:
    async def run() -> None:
        fake = FakeTriton()
        async with fake_servers(fake) as servers, connected(servers) as triton:
            assert await triton.is_ready()
            fake.is_late = True
            assert await triton.is_ready()
            assert await triton.is_ready()
            assert not await triton.is_ready()
            fake.is_late = False
            assert await triton.is_ready()
            fake.is_late = True
            assert await triton.is_ready()

    asyncio.run(run())


def test_late_probes_are_no_death_while_streams_move() -> None:
    async def run() -> None:
        fake = FakeTriton(Script([tokens(word) for word in ("a", "b", "c", "d", "e", "f")], pause_s=0.05))
        async with fake_servers(fake) as servers, connected(servers) as triton:
            assert await triton.is_ready()
            fake.is_late = True
            stream = infer(triton, "a")
            for _ in range(5):
                await anext(stream)
                assert await triton.is_ready()

    asyncio.run(run())


def test_the_vocabulary_is_asked_for_once_and_again_after_an_absence() -> None:
    async def run() -> None:
        fake = FakeTriton()
        async with fake_servers(fake) as servers:
            triton = Triton(Settings(triton_grpc_addresses=[servers[0].address]))
            first = await triton.served_model()
            assert list(first.vocabulary) == list(Vocabulary())
            assert await triton.served_model() is first
            fake.is_ready = False
            assert not await triton.is_ready()
            fake.is_ready = True
            again = await triton.served_model()
            assert again is not first
            assert list(again.vocabulary) == list(first.vocabulary)
            await triton.close()

    asyncio.run(run())


class MisspellingTriton(FakeTriton):
    """Gives a token more than there are."""

    def spelled(self, ids: list[int]) -> list[bytes]:
        return [*super().spelled(ids), b"more"]


def test_a_server_that_spells_another_number_of_tokens_is_left_out() -> None:
    async def run() -> None:
        async with fake_servers(MisspellingTriton()) as servers, connected(servers) as triton:
            assert not await triton.is_ready()

    asyncio.run(run())


def test_another_model_is_left_out_by_name(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        fakes = FakeTriton(Script(HELLO)), FakeTriton(Script(HELLO))
        fakes[1].configs["ensemble"].parameters["served_model_name"].string_value = "other"
        fakes[1].configs["tensorrt_llm"].parameters["max_model_len"].string_value = "16"
        async with fake_servers(*fakes) as servers, connected(servers) as triton:
            fakes[1].is_ready = False
            await triton.is_ready()
            fakes[1].is_ready = True
            await probe_all(triton)
            assert [endpoint.address for endpoint in triton._endpoints.usable] == [servers[0].address]
            assert f"{servers[1].address} is out of service: It serves another model" in caplog.text
            assert "name, max_model_len differ" in caplog.text
            # It takes over when the last of the old ones has gone.
            await servers[0].kill()
            await triton.is_ready()
            await probe_all(triton)
            assert (await triton.served_model()).name == "other"

    with caplog.at_level(logging.WARNING):
        asyncio.run(run())


@pytest.mark.parametrize(
    ("model", "kind", "tensor"),
    [
        ("ensemble", "input", "messages"),
        ("ensemble", "output", "num_input_tokens"),
        ("ensemble_ids", "input", "seed"),
        ("ensemble_ids", "output", "kv_cache_reused_blocks"),
        ("tensorrt_llm", "input", "stop"),
    ],
)
def test_a_lacking_tensor_is_named(
    caplog: pytest.LogCaptureFixture, model: str, kind: str, tensor: str
) -> None:
    async def run() -> None:
        fake = FakeTriton()
        tensors = getattr(fake.configs[model], kind)
        tensors.remove(next(item for item in tensors if item.name == tensor))
        async with fake_servers(fake) as servers, connected(servers) as triton:
            assert not await triton.is_ready()
            assert f"{servers[0].address} is out of service" in caplog.text
            assert tensor in caplog.text

    with caplog.at_level(logging.WARNING):
        asyncio.run(run())


@pytest.mark.parametrize("target", ["localhost:{}", "dns:///localhost:{}", "ipv4:127.0.0.1:{}"])
def test_names_and_targets_of_grpc(target: str) -> None:
    async def run() -> None:
        fake = FakeTriton(Script(HELLO))
        async with fake_servers(fake) as (server,):
            server_name = type("Named", (), {"address": target.format(server.port)})()
            async with connected([server_name]) as triton:
                assert await count(triton, "a") == 3

    asyncio.run(run())


def test_a_name_is_all_its_addresses_and_keeps_them_when_it_can_not_be_resolved() -> None:
    async def run() -> None:
        answers: list[list[str] | OSError] = [["10.0.0.1:1", "[::2]:1"], ["10.0.0.1:1"]]

        async def resolve(host: str, port: int) -> list[str]:
            assert (host, port) == ("triton", 1)
            if not answers:
                raise OSError("no such name")
            return answers.pop(0)

        name = Name("triton:1", resolve)
        assert await name.addresses() == ["10.0.0.1:1", "[::2]:1"]
        assert await name.addresses() == ["10.0.0.1:1"]
        assert await name.addresses() == ["10.0.0.1:1"]

    asyncio.run(run())


def test_a_name_that_does_not_exist_has_no_address() -> None:
    assert asyncio.run(Name("no-such-host.invalid:1").addresses()) == []


def test_an_address_that_goes_is_retired_when_its_last_generation_has_ended() -> None:
    async def run() -> None:
        fakes = FakeTriton(HANGING), FakeTriton(Script(HELLO))
        async with fake_servers(*fakes) as servers, connected(servers[:1]) as triton:
            addresses = [servers[0].address]

            async def resolve(host: str, port: int) -> list[str]:
                return addresses

            triton._endpoints._names = [Name("triton:1", resolve)]
            stream = infer(triton, "a")
            await anext(stream)
            addresses[:] = [servers[1].address]
            await triton.is_ready()
            assert await count(triton, "b") == 3
            assert num_asked(fakes) == [1, 1]
            assert fakes[0].num_running == 1
            await stream.aclose()
            await until(lambda: fakes[0].num_running == 0)

    asyncio.run(run())


def test_probes_are_told_from_generations() -> None:
    async def run() -> None:
        fake = FakeTriton()
        async with fake_servers(fake) as servers, connected(servers) as triton:
            assert await triton.is_ready()
            assert PROBE_ID not in fake.stopped_ids
            assert fake.requests == []

    asyncio.run(run())
