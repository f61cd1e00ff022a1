import pytest

from build.errors import Failure
from scripts.bench.peers.run import Figure, chosen, rounds_of, summarize
from scripts.bench.peers.servers import SERVERS


def test_summaries_are_medians_with_their_spread() -> None:
    figures = [
        Figure("a", "short", 4, number, rate, 10 * rate) for number, rate in enumerate((3.0, 1.0, 9.0))
    ]
    (summary,) = summarize(figures)
    assert (summary.tokens_per_s, summary.least, summary.most, summary.ttft_ms) == (3, 1, 9, 30)


def test_ours_is_always_measured_too() -> None:
    assert chosen("vllm") == ["ours", "vllm"]
    assert chosen("1") == list(SERVERS)


@pytest.mark.parametrize("text", ["nobody", "vllm,", "ours,VLLM"])
def test_unknown_servers_are_named(text: str) -> None:
    with pytest.raises(Failure, match="there is no"):
        chosen(text)


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5"])
def test_rounds_are_counted(text: str) -> None:
    assert rounds_of("3") == 3
    with pytest.raises(Failure, match="ROUNDS"):
        rounds_of(text)
