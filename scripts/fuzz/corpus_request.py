"""The raw requests of the corpus, each a file that is named after the status it is answered with."""

from dataclasses import dataclass
from pathlib import Path

CORPUS = Path(__file__).with_name("corpus")
# Where a file has a key, it is this one.
CORPUS_KEY = b"fault-key"


@dataclass(frozen=True)
class CorpusRequest:
    name: str
    status: int
    data: bytes

    @property
    def method(self) -> str:
        """As far as the answer's framing depends on it."""
        return "HEAD" if self.data.startswith(b"HEAD") else "GET"

    def with_key(self, key: str) -> bytes:
        """The request of someone who may ask."""
        return self.data.replace(CORPUS_KEY, key.encode())


def read_corpus() -> list[CorpusRequest]:
    """In the order of their names."""
    return [_read(path) for path in sorted(CORPUS.glob("*.http"))]


def _read(path: Path) -> CorpusRequest:
    return CorpusRequest(path.stem, int(path.name.partition("-")[0]), path.read_bytes())
