"""`make kill-rounds`: each process in turn is killed, stopped or paused under load; a table of what it cost.

It is the embedded engine's, or with ENGINE=replay the replay engine's.
"""

import asyncio
import os
import secrets
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import httpx2 as httpx

from build.errors import run
from build.paths import LOGS
from scripts.bench.stack import HOST, Stack, StackProcesses, children, served
from scripts.soak.scenarios import COMPLETIONS, DONE, read_stream

LOG = "kill-rounds.log"
NUM_STREAMS, NUM_WHOLE = 30, 10
STREAM_TOKENS, WHOLE_TOKENS = 200, 20
LOAD_S = 3.0
LOOK_EVERY_S = 0.1
# Ready for so long is ready; a hang is found after a minute and more.
STEADY_S = 5.0
PATIENCE_S = 180.0
PAUSE_S = 20.0
READY_S, ANSWERED_S = 10.0, 12.0
# What a client that has nobody to talk to does before it tries again.
RETRY_S = 0.2
WORKERS = 2
VICTIMS = ("preprocess", "engine", "postprocess", "tritonserver", "worker", "frontend")
KILL, STOP, PAUSE = "KILL", "STOP", "pause"
FAULTS = {KILL: signal.SIGKILL, STOP: signal.SIGSTOP, PAUSE: signal.SIGSTOP}
TABLE_HEAD = (
    "| process | signal | ready s | first answer s | whole | cut, with a word | 503 | slowest 503 s "
    "| no connection | broken promises |"
)


@dataclass
class Round:
    """What the clients saw from a signal until all was well again."""

    victim: str
    fault: str
    ready_s: float = 0.0
    answered_s: float = 0.0
    """Until short requests, one after the other, were answered and not refused any more."""
    seen: Counter[str] = field(default_factory=Counter)
    slowest_refusal_s: float = 0.0
    broken: list[str] = field(default_factory=list)

    def row(self) -> str:
        seen = self.seen
        cells = (
            *(self.victim, self.fault, f"{self.ready_s:.1f}", f"{self.answered_s:.1f}"),
            *(
                seen["whole"],
                seen["cut"],
                seen["503"],
                f"{self.slowest_refusal_s:.2f}",
                seen["no connection"],
            ),
            "; ".join(f"{count} x {told}" for told, count in Counter(self.broken).items()) or "none",
        )
        return f"| {' | '.join(map(str, cells))} |"

    def judge(self) -> None:
        """What a kill may cost, and a pause may not."""
        if self.fault == PAUSE and self.seen["cut"]:
            self.broken.append("a pause cut streams")
        if self.fault == KILL and self.ready_s > READY_S:
            self.broken.append(f"not ready within {READY_S:g} s")
        if self.fault == KILL and self.answered_s > ANSWERED_S:
            self.broken.append(f"no answer within {ANSWERED_S:g} s")


class Clients:
    """The load, whose outcomes go to the round that runs."""

    def __init__(self, http: httpx.AsyncClient, model: str) -> None:
        self._http = http
        self._model = model
        self.round = Round("", "")

    async def stream(self) -> None:
        body = self._body(STREAM_TOKENS, stream=True, stream_options={"include_usage": True})
        async with self._http.stream("POST", COMPLETIONS, json=body) as answer:
            if answer.status_code != httpx.codes.OK:
                await answer.aread()
                self._refused(answer)
                return
            _, usage, end = await read_stream(answer)
        if end == DONE:
            self._ended(usage["completion_tokens"] == STREAM_TOKENS)
        else:
            self.round.seen["cut"] += 1
            if not end.startswith('{"error"'):
                self.round.broken.append("a stream ended without a word")

    async def whole(self) -> None:
        answer = await self._http.post(COMPLETIONS, json=self._body(WHOLE_TOKENS))
        if answer.status_code == httpx.codes.OK:
            self._ended(answer.json()["usage"]["completion_tokens"] == WHOLE_TOKENS)
        else:
            self._refused(answer)

    async def again_and_again(self, ask: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._try(ask)

    async def _try(self, ask: Callable[[], Awaitable[None]]) -> None:
        try:
            await ask()
        except httpx.TransportError:
            self.round.seen["no connection"] += 1
            await asyncio.sleep(RETRY_S)

    async def is_ready(self) -> bool:
        with suppress(httpx.TransportError):
            return (await self._http.get("/health/ready", timeout=1)).status_code == httpx.codes.OK
        return False

    async def is_answered(self) -> bool:
        with suppress(httpx.TransportError):
            answer = await self._http.post(COMPLETIONS, json=self._body(1), timeout=PATIENCE_S)
            return answer.status_code == httpx.codes.OK
        return False

    def _body(self, num_tokens: int, **fields: object) -> dict[str, object]:
        text = {"prompt": "Once upon a time", "max_tokens": num_tokens, "ignore_eos": True}
        return {"model": self._model, **text, **fields}

    def _ended(self, is_whole: bool) -> None:
        self.round.seen["whole"] += 1
        if not is_whole:
            self.round.broken.append("a cut answer looked complete")

    def _refused(self, answer: httpx.Response) -> None:
        self.round.seen[str(answer.status_code)] += 1
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            self.round.broken.append(f"status {answer.status_code}")
        elif "retry-after" not in answer.headers:
            self.round.broken.append("503 without Retry-After")
        else:
            took_s = answer.elapsed.total_seconds()
            self.round.slowest_refusal_s = max(self.round.slowest_refusal_s, took_s)


async def play(stack: Stack, http: httpx.AsyncClient, rounds: Sequence[tuple[str, str]]) -> list[Round]:
    """One round after the other under the same load; prints each row as soon as it is known."""
    clients = Clients(http, stack.model)
    load = [
        asyncio.ensure_future(clients.again_and_again(ask))
        for ask in (*[clients.stream] * NUM_STREAMS, *[clients.whole] * NUM_WHOLE)
    ]
    played = []
    try:
        for victim, fault in rounds:
            await _settle(clients)
            clients.round = Round(victim, fault)
            await _hit(stack, clients, clients.round)
            clients.round.judge()
            print(clients.round.row(), flush=True)
            played.append(clients.round)
    finally:
        for client in load:
            client.cancel()
        ended = await asyncio.gather(*load, return_exceptions=True)
    for failure in ended:
        if not isinstance(failure, asyncio.CancelledError):
            raise failure or AssertionError("a client ended")
    return played


async def _settle(clients: Clients) -> None:
    await _last_bad(clients.is_ready, STEADY_S)
    await asyncio.sleep(LOAD_S)


async def _hit(stack: Stack, clients: Clients, round_: Round) -> None:
    victim = _pid(stack, round_.victim)
    os.kill(victim, FAULTS[round_.fault])
    if round_.fault == PAUSE:
        asyncio.get_running_loop().call_later(PAUSE_S, _wake, victim)
    least_s = {KILL: STEADY_S, STOP: PATIENCE_S, PAUSE: PAUSE_S + STEADY_S}[round_.fault]

    def is_over() -> bool:
        return round_.fault == STOP and not _is_there(victim)

    round_.ready_s, round_.answered_s = await asyncio.gather(
        _last_bad(clients.is_ready, least_s, is_over), _last_bad(clients.is_answered, least_s, is_over)
    )


async def _last_bad(
    is_well: Callable[[], Awaitable[bool]], least_s: float, is_over: Callable[[], bool] = lambda: False
) -> float:
    """Seconds from now until it is well and stays so; least_s: for how long to look, if it is not over."""
    start = time.monotonic()
    well_since = 0.0
    while (now_s := time.monotonic() - start) < PATIENCE_S:
        if not await is_well():
            well_since = time.monotonic() - start
        elif (now_s > least_s or is_over()) and now_s - well_since > STEADY_S:
            return well_since
        await asyncio.sleep(LOOK_EVERY_S)
    return now_s


def _pid(stack: Stack, victim: str) -> int:
    if victim == "frontend":
        return children(stack.pid, "-m frontend")[0]
    if victim == "worker":
        return children(_pid(stack, "frontend"), "")[0]
    return StackProcesses(stack.pid).pids(victim)[0]


def _wake(pid: int) -> None:
    # Gone where it does not survive a pause.
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def _is_there(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


async def _play_all(stack: Stack, key: str, rounds: Sequence[tuple[str, str]]) -> list[Round]:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    headers = {"Authorization": f"Bearer {key}"}
    url = f"http://{HOST}:{stack.port}"
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=PATIENCE_S, limits=limits) as http:
        return await play(stack, http, rounds)


def main() -> int:
    """0 when every promise was kept."""
    victims = (os.environ.get("VICTIMS") or ",".join(VICTIMS)).split(",")
    faults = (os.environ.get("FAULTS") or ",".join(FAULTS)).split(",")
    rounds = [(victim, fault) for fault in faults for victim in victims]
    key = secrets.token_hex()
    with served(log=LOG, WORKERS=str(WORKERS), API_KEYS=key, LOG_LEVEL="warning") as stack:
        print(f"{NUM_STREAMS} streams and {NUM_WHOLE} whole answers; its log is {LOGS / LOG}", flush=True)
        print(TABLE_HEAD, "|---" * (TABLE_HEAD.count("|") - 1) + "|", sep="\n", flush=True)
        played = asyncio.run(_play_all(stack, key, rounds))
    return 1 if any(each.broken for each in played) else 0


if __name__ == "__main__":
    run(main)
