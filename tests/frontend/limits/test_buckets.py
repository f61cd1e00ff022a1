import pytest

from frontend.errors import RateLimited
from frontend.keys.key import ANONYMOUS, ApiKey
from frontend.limits.buckets import Allowance, RateLimits, limit_headers
from frontend.limits.ledger import SharedLedger


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limits(clock: Clock) -> RateLimits:
    return RateLimits(SharedLedger(), clock)


def key(requests: int | None = None, tokens: int | None = None) -> ApiKey:
    return ApiKey(name="a", sha256="0" * 64, requests_per_minute=requests, tokens_per_minute=tokens)


def test_requests_refill_evenly(limits: RateLimits, clock: Clock) -> None:
    sixty = key(requests=60)
    for _ in range(60):
        limits.charge(sixty, 0, 0)
    with pytest.raises(RateLimited) as caught:
        limits.charge(sixty, 0, 0)
    assert caught.value.headers == {"Retry-After": "1", "Retry-After-Ms": "1000"}
    clock.now_s += 1
    limits.charge(sixty, 0, 0)
    with pytest.raises(RateLimited):
        limits.charge(sixty, 0, 0)
    clock.now_s += 3600
    assert limits.allowances(sixty, 0) == [Allowance("requests", 60, 60, 0)]


def test_a_refused_request_takes_nothing(limits: RateLimits) -> None:
    both = key(requests=10, tokens=100)
    limits.charge(both, 0, 90)
    with pytest.raises(RateLimited, match="tokens"):
        limits.charge(both, 0, 20)
    assert [allowance.remaining for allowance in limits.allowances(both, 0)] == [9, 10]


@pytest.mark.parametrize(("num_used", "remaining"), [(0, 100), (30, 70), (60, 40), (150, 0)])
def test_reserved_tokens_are_set_right_at_the_end(limits: RateLimits, num_used: int, remaining: int) -> None:
    hundred = key(tokens=100)
    limits.charge(hundred, 0, 60)
    limits.settle(hundred, 0, 60, num_used)
    assert limits.allowances(hundred, 0)[0].remaining == remaining


def test_tokens_used_beyond_the_limit_are_owed(limits: RateLimits, clock: Clock) -> None:
    sixty = key(tokens=60)
    limits.charge(sixty, 0, 1)
    limits.settle(sixty, 0, 1, 120)
    clock.now_s += 60
    with pytest.raises(RateLimited):
        limits.charge(sixty, 0, 1)
    clock.now_s += 1
    limits.charge(sixty, 0, 1)


@pytest.mark.parametrize(
    ("limit", "num_tokens", "reserved"), [(None, 500, 0), (100, 50, 50), (100, 500, 100), (100, 0, 1)]
)
def test_no_more_than_a_minute_is_reserved(
    limits: RateLimits, limit: int | None, num_tokens: int, reserved: int
) -> None:
    assert limits.reservation(key(tokens=limit), num_tokens) == reserved


def test_without_limits_nothing_is_refused_and_nothing_told(limits: RateLimits) -> None:
    for _ in range(100):
        limits.charge(ANONYMOUS, 0, 10**9)
    assert limits.allowances(ANONYMOUS, 0) == []


def test_a_limit_that_is_lowered_counts_at_once(limits: RateLimits) -> None:
    limits.charge(key(requests=1000), 0, 0)
    limits.charge(key(requests=1), 0, 0)
    with pytest.raises(RateLimited):
        limits.charge(key(requests=1), 0, 0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0004, "1ms"),
        (0.12, "120ms"),
        (0.9999, "1s"),
        (8.64, "8.64s"),
        (60, "1m0s"),
        (90.5, "1m30.5s"),
    ],
)
def test_openai_headers(seconds: float, text: str) -> None:
    allowances = [Allowance("requests", 60, 59, seconds), Allowance("tokens", 1000, 3, 1)]
    headers = limit_headers(allowances, "/v1/chat/completions")
    assert headers == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": text,
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "3",
        "x-ratelimit-reset-tokens": "1s",
    }


def test_anthropic_headers() -> None:
    headers = limit_headers([Allowance("tokens", 1000, 3, 60)], "/v1/messages")
    assert headers.pop("anthropic-ratelimit-tokens-reset").endswith("Z")
    assert headers == {
        "anthropic-ratelimit-tokens-limit": "1000",
        "anthropic-ratelimit-tokens-remaining": "3",
    }
