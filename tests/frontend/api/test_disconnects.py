"""A client that leaves, whenever and whatever it asked for, stops the engine."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.fakes.served_frontend import ServedFrontend, served_frontend
from tests.fakes.triton_server import FakeTriton, Script, tokens
from tests.fakes.triton_servers import fake_servers
from tests.frontend.conftest import MODEL

# A second is promised; the rest is for a busy machine.
SETTLE_S = 10


def http_request(body: dict[str, Any]) -> bytes:
    content = json.dumps(body).encode()
    lines = (
        "POST /v1/chat/completions HTTP/1.1",
        "Host: a",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def chat_body(**fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], **fields}


async def settle(condition: Callable[[], bool], what: str) -> None:
    loop = asyncio.get_running_loop()
    started_at = loop.time()
    while not condition():
        assert loop.time() < started_at + SETTLE_S, what
        await asyncio.sleep(0.01)


def num_generations(frontend: ServedFrontend) -> int:
    return sum(endpoint.num_running for endpoint in frontend.triton._endpoints.usable)


@pytest.mark.row(46)
@pytest.mark.parametrize("fields", [{"stream": True}, {"stream": False}, {"stream": True, "n": 3}])
@pytest.mark.parametrize("hangs_after", [0, 1, 9])
def test_leaving_stops_the_engine(fields: dict[str, Any], hangs_after: int) -> None:
    """Before the first token, in the middle, at the last one."""

    async def run() -> None:
        fake = FakeTriton(Script([tokens("a")] * 10, hangs_after=hangs_after, ends_by_end_id=False))
        async with fake_servers(fake) as servers, served_frontend(servers) as frontend:
            num_choices = fields.get("n", 1)
            _, writer = await asyncio.open_connection("127.0.0.1", frontend.port)
            writer.write(http_request(chat_body(**fields)))
            await settle(lambda: fake.num_running == num_choices, "it never began")
            # For the tokens before the silence.
            await asyncio.sleep(0.2)
            writer.close()
            await settle(lambda: fake.num_running == 0, "the engine runs on")
            await settle(lambda: num_generations(frontend) == 0, "the frontend waits on")
            assert set(fake.stopped_ids) == {request.id for request in fake.requests}

    asyncio.run(run())
