"""The raw requests of the corpus, named after their answer's status: files, and those too long for a file."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CORPUS = Path(__file__).with_name("corpus")
# Where a request has a key, it is this one.
CORPUS_KEY = b"fault-key"


@dataclass(frozen=True)
class CorpusRequest:
    name: str
    data: bytes

    @property
    def status(self) -> int:
        return int(self.name.partition("-")[0])

    @property
    def method(self) -> str:
        """As far as the answer's framing depends on it."""
        return "HEAD" if self.data.startswith(b"HEAD") else "GET"

    def with_key(self, key: str) -> bytes:
        """The request of someone who may ask."""
        return self.data.replace(CORPUS_KEY, key.encode())


def read_corpus() -> list[CorpusRequest]:
    """In the order of their names."""
    files = (CorpusRequest(path.stem, path.read_bytes()) for path in CORPUS.glob("*.http"))
    return sorted([*files, *_long_requests()], key=lambda request: request.name)


def _long_requests() -> Iterator[CorpusRequest]:
    headers = b"".join(b"X-%d: 1\r\n" % number for number in range(5000))
    yield CorpusRequest("414-path-of-20-kilobytes", _get(b"/v1/" + b"a" * 20_000))
    yield CorpusRequest("431-five-thousand-headers", _get(more=headers))
    yield CorpusRequest("431-header-of-200-kilobytes", _get(more=b"X-A: %s\r\n" % (b"a" * 200_000)))
    yield CorpusRequest("431-key-of-100-kilobytes", _get(key=b"k" * 100_000))


def _get(target: bytes = b"/v1/models", key: bytes = CORPUS_KEY, more: bytes = b"") -> bytes:
    lines = b"GET %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n" % (target, key)
    return lines + b"Content-Type: application/json\r\n" + more + b"\r\n"
