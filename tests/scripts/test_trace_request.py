"""The steps of a request and of a token are few, by tracing real ones in front of the fake Triton."""

import re
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from build.paths import ROOT
from scripts.trace_request import usual
from tests.fakes.triton_server import FakeTriton, Script, tokens
from tests.faults.frontend_process import served_fake

# docs/architecture.md, "The token's way", says why these are not fewer.
MOST_OF_A_REQUEST = 54
MOST_OF_A_TOKEN = 14
# Named before the frontend asks for the vocabulary.
PIECES = [tokens(f" w{number}") for number in range(1000)]


class WritingTriton(FakeTriton):
    """Writes as many tokens as are asked for; where they are many, at a pace at which each is an event."""

    async def _generate(self, request: Any, context: Any, stop: Any) -> AsyncIterator[Any]:
        (index,) = (index for index, tensor in enumerate(request.inputs) if tensor.name == "max_tokens")
        num_tokens = int.from_bytes(request.raw_input_contents[index], "little")
        self.script = Script(
            PIECES[:num_tokens], ends_by_end_id=False, pause_s=0.02 if num_tokens > 2 else 0.001
        )
        async for response in super()._generate(request, context, stop):
            yield response


@pytest.fixture(scope="module")
def lists() -> dict[str, list[str]]:
    """Heading -> files, as printed."""
    with served_fake(WritingTriton()) as port:
        command = [sys.executable, "-m", "scripts.trace_request", f"127.0.0.1:{port}"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = re.findall(r"^(A .*) crosses (\d+) files of frontend/:\n((?: +\d+ .*\n)+)", done.stdout, re.M)
    shown = {heading: [row.split()[1] for row in rows.splitlines()] for heading, _, rows in found}
    assert [len(files) for files in shown.values()] == [int(number) for _, number, _ in found]
    return shown


def test_each_list_begins_where_the_bytes_arrive(lists: dict[str, list[str]]) -> None:
    whole, stream, token = lists.values()
    assert whole[0].startswith("server/")
    assert stream[0].startswith("server/")
    assert token[0].startswith("grpc_client/")
    assert set(token) < set(stream)


def test_a_chat_request_crosses_few_files(lists: dict[str, list[str]]) -> None:
    whole, stream, _ = lists.values()
    assert len(whole) <= MOST_OF_A_REQUEST
    assert len(stream) <= MOST_OF_A_REQUEST


def test_a_token_crosses_few_files(lists: dict[str, list[str]]) -> None:
    _, _, token = lists.values()
    assert len(token) <= MOST_OF_A_TOKEN


def test_what_happens_now_and_then_is_not_counted() -> None:
    windows = [{"a": 2, "tick": 1}, {"a": 3}, {"a": 2, "b": 1}, {"b": 1, "a": 9}, {"a": 2, "b": 2}]
    assert usual(windows) == {"a": 2}
    assert list(usual([{"late": 1, "a": 1, "b": 1}, *[{"a": 1, "b": 1, "late": 1}] * 3])) == [
        "a",
        "b",
        "late",
    ]
    assert usual([*windows[1:], {"c": 1, "b": 1, "a": 2}]) == {"a": 2, "b": 1}
