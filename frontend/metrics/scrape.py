"""What the Tritons have on their metrics ports, asked when somebody scrapes the frontend."""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence

import h11

from frontend.addresses import Name

logger = logging.getLogger(__name__)

# Half of the 10 s that Prometheus waits for a scrape unless told otherwise.
TIMEOUT_S = 5.0
# A Triton with some ten models has about 100 kB.
MAX_BYTES = 16 * 1024 * 1024


class TritonMetrics:
    """Of the servers at these addresses, HOST:PORT; a name counts as all its addresses."""

    def __init__(self, targets: Sequence[str], timeout_s: float = TIMEOUT_S) -> None:
        self._names = [Name(target) for target in targets]
        self._timeout_s = timeout_s
        self._silent: frozenset[str] = frozenset()

    @property
    def are_known(self) -> bool:
        """Whether there is anybody to ask."""
        return bool(self._names)

    async def read(self) -> dict[str, str | None]:
        """Address -> its metrics in Prometheus' text format, None of one that does not answer in time."""
        addresses = sorted({address for name in self._names for address in await name.addresses()})
        answers = await asyncio.gather(*(_read(address, self._timeout_s) for address in addresses))
        texts = dict(zip(addresses, answers, strict=True))
        self._log_silence(frozenset(address for address, text in texts.items() if text is None))
        return texts

    def _log_silence(self, silent: frozenset[str]) -> None:
        """Once, and not at every scrape."""
        for address in sorted(silent - self._silent):
            logger.warning("%s gives no metrics", address)
        self._silent = silent


def merged(texts: Mapping[str, str]) -> str:
    """One text: as it is of one server; of several, whose series get the label `endpoint`, by families."""
    if len(texts) == 1:
        return next(iter(texts.values()))
    comments: dict[str, dict[str, None]] = {}
    samples: dict[str, list[str]] = {}
    for address, text in texts.items():
        family = ""
        for line in filter(None, text.splitlines()):
            if line.startswith("#"):
                family = line.split(" ", 3)[2]
                comments.setdefault(family, {})[line] = None
            else:
                samples.setdefault(family, []).append(_with_label(line, f'endpoint="{address}"'))
    return "".join(f"{line}\n" for line in _by_family(comments, samples))


def _by_family(comments: Mapping[str, Iterable[str]], samples: Mapping[str, Iterable[str]]) -> Iterable[str]:
    for family in {**comments, **samples}:
        yield from comments.get(family, ())
        yield from samples.get(family, ())


def _with_label(sample: str, label: str) -> str:
    name, brace, rest = sample.partition("{")
    if brace:
        return f"{name}{{{label}{'' if rest.startswith('}') else ','}{rest}"
    name, _, value = sample.partition(" ")
    return f"{name}{{{label}}} {value}"


async def _read(address: str, timeout_s: float) -> str | None:
    try:
        return await asyncio.wait_for(_get(address), timeout_s)
    # Until Python 3.11 asyncio's is no TimeoutError, which is an OSError.
    except (OSError, asyncio.TimeoutError, h11.ProtocolError, UnicodeDecodeError) as error:
        logger.debug("%s gives no metrics: %r", address, error)
        return None


async def _get(address: str) -> str:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    try:
        connection = h11.Connection(h11.CLIENT)
        headers = [("Host", address), ("Connection", "close")]
        writer.write(connection.send(h11.Request(method="GET", target="/metrics", headers=headers)) or b"")
        connection.send(h11.EndOfMessage())
        return (await _body(connection, reader)).decode()
    finally:
        writer.close()


async def _body(connection: h11.Connection, reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(64 * 1024))
        elif isinstance(event, h11.Response) and event.status_code != 200:
            raise h11.RemoteProtocolError(f"status {event.status_code}")
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MAX_BYTES:
                raise h11.RemoteProtocolError("too long")
        elif isinstance(event, h11.EndOfMessage):
            return bytes(body)
