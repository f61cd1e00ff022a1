"""Which endpoint takes a request."""

from collections import Counter
from dataclasses import dataclass
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontend.triton.balancing import FREE_LOAD, LOAD_FACTOR, choose
from frontend.triton.conversation import MIN_CHARS, MIN_IDS, conversation_key
from frontend.triton.model import LORA_INPUT
from frontend.triton.tensors import TensorValue


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


def chat(*messages: tuple[str, str]) -> dict[str, TensorValue]:
    items = [f'{{"role": "{role}", "content": "{content}"}}' for role, content in messages]
    return {"messages": f"[{', '.join(items)}]"}


LONG = "x" * MIN_CHARS
FIRST_TURN = (("system", LONG), ("user", "a"))
SECOND_TURN = (*FIRST_TURN, ("assistant", "b"), ("user", "c"))


def test_every_turn_of_a_conversation_has_its_key() -> None:
    assert conversation_key(chat(*FIRST_TURN)) == conversation_key(chat(*SECOND_TURN)) is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (chat(*FIRST_TURN), chat(("system", LONG), ("user", "b"))),
        ({"text_input": LONG}, {"text_input": LONG[1:] + "y"}),
        ({"text_input": LONG}, {"text_input": LONG, LORA_INPUT: 1}),
        ({"prompt_ids": [1] * MIN_IDS}, {"prompt_ids": [2] * MIN_IDS}),
    ],
)
def test_other_beginnings_have_other_keys(one: dict[str, TensorValue], other: dict[str, TensorValue]) -> None:
    assert conversation_key(one) != conversation_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"text_input": LONG}, {"text_input": LONG + "y"}),
        ({"prompt_ids": [1] * MIN_IDS}, {"prompt_ids": [1] * MIN_IDS + [2]}),
    ],
)
def test_prompts_that_begin_alike_have_one_key(
    one: dict[str, TensorValue], other: dict[str, TensorValue]
) -> None:
    assert conversation_key(one) == conversation_key(other) is not None


@pytest.mark.parametrize("inputs", [chat(("user", "hi")), {"text_input": "hi"}, {"prompt_ids": [1, 2]}])
def test_short_prompts_have_none(inputs: dict[str, TensorValue]) -> None:
    assert conversation_key(inputs) is None
