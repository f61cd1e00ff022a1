"""Which endpoint takes a request."""

from collections import Counter
from dataclasses import dataclass
from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from frontend.triton.routing import FREE_LOAD, LOAD_FACTOR, choose, conversation_key


@dataclass
class Server:
    address: str
    num_running: int = 0


def servers(*loads: int) -> list[Server]:
    return [Server(f"triton-{index}:8001", load) for index, load in enumerate(loads)]


def keys(count: int) -> list[bytes]:
    return [index.to_bytes(16, "big") for index in range(count)]


def test_without_a_conversation_the_least_loaded_is_chosen() -> None:
    assert choose(servers(2, 0, 1), None).address == "triton-1:8001"


def test_equally_loaded_ones_take_turns_by_chance() -> None:
    idle = servers(0, 0, 0)
    assert {choose(idle, None).address for _ in range(200)} == {server.address for server in idle}


@given(loads=st.lists(st.integers(0, 50), min_size=1, max_size=8), key=st.binary(min_size=16, max_size=16))
def test_load_stays_within_its_bound(loads: list[int], key: bytes) -> None:
    chosen = choose(servers(*loads), key)
    limit = max(FREE_LOAD, ceil(LOAD_FACTOR * (sum(loads) + 1) / len(loads)))
    assert len(loads) == 1 or chosen.num_running < limit


def test_conversations_are_spread_and_stay() -> None:
    idle = servers(0, 0, 0, 0)
    homes = {key: choose(idle, key).address for key in keys(1000)}
    assert homes == {key: choose(idle[::-1], key).address for key in keys(1000)}
    # A fair share is 250; six standard deviations are 82.
    assert all(168 < count < 332 for count in Counter(homes.values()).values())


def test_when_an_endpoint_goes_only_its_conversations_move() -> None:
    idle = servers(0, 0, 0, 0)
    before = {key: choose(idle, key).address for key in keys(300)}
    after = {key: choose(idle[1:], key).address for key in keys(300)}
    moved = {key for key in before if before[key] != after[key]}
    assert moved == {key for key in before if before[key] == idle[0].address}


def test_a_conversation_leaves_an_overloaded_endpoint() -> None:
    pair = servers(0, 0)
    (key,) = keys(1)
    for _ in range(FREE_LOAD):
        choose(pair, key).num_running += 1
    assert sorted(server.num_running for server in pair) == [0, FREE_LOAD]
    for _ in range(92):
        choose(pair, key).num_running += 1
    # 62.5 is a quarter above the mean.
    assert sorted(server.num_running for server in pair) == [37, 63]


def test_a_beginning_has_one_key_for_each_adapter() -> None:
    assert conversation_key("You are", None) == conversation_key("You are", None)
    keys = {conversation_key(text, adapter) for text in ("You are", "You were") for adapter in (None, 1, 2)}
    assert len(keys) == 6


def test_what_is_too_short_has_no_key() -> None:
    assert conversation_key(None, 1) is None
