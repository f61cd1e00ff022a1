"""What the clients of a soak do, and what each must see."""

import asyncio
import json
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import httpx2 as httpx

from scripts.soak.faults import DICE, Outages

COMPLETIONS = "/v1/completions"
DONE = "[DONE]"
STALL_BUFFER_BYTES = 4096
STALLED_CHOICES = 8
STALL_TIMEOUT_S = 60
OK_LINE = b"HTTP/1.1 200"
# Of no request that is answered at all; the answers that a client has to reckon with are listed.
REFUSALS = {429, 503}


class Words(Protocol):
    def is_unbroken(self, text: str) -> bool:
        """Whether no word of the text is missing, doubled or another text's."""


class Broken(Exception):
    """A promise was not kept."""


@dataclass
class Soak:
    """One run: where it goes, what it has seen."""

    http: httpx.AsyncClient
    address: tuple[str, int]
    key: str
    model: str
    words: Words
    max_tokens: int
    scenarios: Mapping["Scenario", int]
    """Each with its share."""
    outages: Outages = field(default_factory=Outages)
    seen: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    def body(self, **fields: Any) -> dict[str, Any]:
        num_tokens = DICE.randint(1, self.max_tokens)
        prompt = f"Say {DICE.random()}"
        return {"model": self.model, "prompt": prompt, "max_tokens": num_tokens, "temperature": 0, **fields}

    def check(self, text: str, num_tokens: int) -> None:
        if not self.words.is_unbroken(text) or len(text.split()) != num_tokens:
            raise Broken(f"{num_tokens} tokens came as {text[:200]!r}")


async def stream(soak: Soak) -> None:
    """Reads a stream to its end: every token is there once, or an error frame says that it is not whole."""
    num_outages = soak.outages.num
    body = soak.body(stream=True, stream_options={"include_usage": True})
    async with soak.http.stream("POST", COMPLETIONS, json=body) as answer:
        if answer.status_code != httpx.codes.OK:
            _require_refusal(soak, answer.status_code, num_outages)
            return
        text, usage, end = await read_stream(answer)
    if end == DONE:
        soak.check(text, usage["completion_tokens"])
        return
    if not end.startswith('{"error"'):
        raise Broken(f"a stream ended without a word after {text[-80:]!r}")
    if not soak.outages.since(num_outages):
        raise Broken(f"a stream failed while nothing was wrong: {end}")
    if text and not soak.words.is_unbroken(text):
        raise Broken(f"what came before the error is broken: {text[:200]!r}")


async def whole(soak: Soak) -> None:
    """Answers of several choices, each complete."""
    num_outages = soak.outages.num
    answer = await soak.http.post(COMPLETIONS, json=soak.body(n=DICE.randint(1, 3)))
    if answer.status_code != httpx.codes.OK:
        _require_refusal(soak, answer.status_code, num_outages)
        return
    completion = answer.json()
    texts = [choice["text"] for choice in completion["choices"]]
    each = completion["usage"]["completion_tokens"] // len(texts)
    for text in texts:
        soak.check(text, each)


async def leave(soak: Soak) -> None:
    """Goes away at any time: before the answer, within it, streaming or not."""
    body = soak.body(stream=DICE.random() < 0.7, max_tokens=10 * soak.max_tokens)
    try:
        await asyncio.wait_for(soak.http.post(COMPLETIONS, json=body), DICE.random())
    except (asyncio.TimeoutError, httpx.TransportError):
        return


async def stall(soak: Soak) -> None:
    """Stops to read in the middle of a long stream, until it is cut off."""
    num_outages = soak.outages.num
    # With log-probs it is more than may wait anywhere, however many tokens come together: about 10 MB.
    fields = {"stream": True, "n": STALLED_CHOICES, "max_tokens": 50 * soak.max_tokens, "logprobs": 0}
    body = json.dumps(soak.body(**fields)).encode()
    head = f"POST {COMPLETIONS} HTTP/1.1\r\nHost: soak\r\nAuthorization: Bearer {soak.key}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setblocking(False)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, STALL_BUFFER_BYTES)
        await loop.sock_connect(client, soak.address)
        await loop.sock_sendall(client, head.encode() + body)
        if not (await loop.sock_recv(client, len(OK_LINE))).startswith(OK_LINE):
            return
        try:
            await asyncio.wait_for(_until_cut(client), STALL_TIMEOUT_S)
        except asyncio.TimeoutError:
            if not soak.outages.since(num_outages):
                raise Broken(f"a client that does not read was not cut off in {STALL_TIMEOUT_S} s") from None


async def bad_request(soak: Soak) -> None:
    """Sends what can't be served; is told so, and by a 4xx."""
    wrong = DICE.choice(BAD_FIELDS)
    answer = await soak.http.post(COMPLETIONS, json=soak.body(**wrong))
    if not 400 <= answer.status_code < 500 and answer.status_code not in REFUSALS:
        raise Broken(f"{wrong} was answered with {answer.status_code}")


Scenario: TypeAlias = Callable[[Soak], Awaitable[None]]
SCENARIOS: dict[Scenario, int] = {
    stream: 8,
    whole: 4,
    leave: 6,
    stall: 1,
    bad_request: 4,
}
BAD_FIELDS: list[dict[str, Any]] = [
    {"max_tokens": -1},
    {"temperature": "hot"},
    {"n": 10**9},
    {"prompt": []},
    {"prompt": "word " * 20_000},
    {"model": "../x"},
    {"stop": [""] * 4},
    {"logit_bias": {"-1": 1}},
]


async def client(soak: Soak, until: float) -> None:
    """One client after the other, until the time of the event loop."""
    loop = asyncio.get_running_loop()
    while loop.time() < until:
        (scenario,) = DICE.choices(list(soak.scenarios), list(soak.scenarios.values()))
        soak.seen[scenario.__name__] += 1
        await _run(soak, scenario)


async def _run(soak: Soak, scenario: Scenario) -> None:
    try:
        await scenario(soak)
    except Broken as broken:
        soak.broken.append(f"{scenario.__name__}: {broken}")
    except httpx.TransportError as error:
        soak.broken.append(f"{scenario.__name__}: the connection broke: {error!r}")


async def read_stream(answer: httpx.Response) -> tuple[str, dict[str, int], str]:
    """The text, the usage, and the data of the last event."""
    text, data = "", ""
    usage: dict[str, int] = {}
    async for data in _events(answer):
        if data == DONE or data.startswith('{"error"'):
            continue
        chunk = json.loads(data)
        text += "".join(choice["text"] for choice in chunk["choices"])
        usage = chunk["usage"] or usage
    return text, usage, data


async def _events(answer: httpx.Response) -> AsyncIterator[str]:
    async for line in answer.aiter_lines():
        if line.startswith("data: "):
            yield line.removeprefix("data: ")


async def _until_cut(client: socket.socket) -> None:
    """A reset shows as soon as the kernel has it, without reading what waits."""
    while not client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(0.2)


def _require_refusal(soak: Soak, status: int, num_outages: int) -> None:
    if status not in REFUSALS or (status != 429 and not soak.outages.since(num_outages)):
        raise Broken(f"a good request was answered with {status}")
