"""Which endpoint takes the next request: the least loaded, or the one that has the conversation's prefix.

A conversation is known over all its turns by a hash of how its prompt begins. An engine keeps the KV cache of
prompts that it has seen, in blocks of 32 to 64 tokens, and reuses the longest beginning that a new prompt
shares with one of them.
"""

import random
from collections.abc import Sequence
from hashlib import blake2b
from math import ceil
from typing import Protocol, TypeVar

# How far above the mean an endpoint's load may rise for the sake of its cache: the value that consistent
# hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2016, arXiv:1608.01350) is commonly run with.
LOAD_FACTOR = 1.25
# Up to here another sequence costs those that run next to nothing: decoding is bound by reading the weights.
FREE_LOAD = 8
KEY_BYTES = 16
# Shorter prompts have nothing worth a detour: about 128 tokens, a few milliseconds of prefill.
MIN_CHARS = 512
MIN_IDS = 128


class Loaded(Protocol):
    @property
    def address(self) -> str: ...

    @property
    def num_running(self) -> int: ...


Choice = TypeVar("Choice", bound=Loaded)


def choose(endpoints: Sequence[Choice], conversation: bytes | None) -> Choice:
    """One of the endpoints; the same for the same conversation as long as its load allows.

    Rendezvous hashing: when an endpoint goes, only its own conversations move. Every frontend and worker
    comes to the same order without knowing of the others.
    """
    if len(endpoints) == 1:
        return endpoints[0]
    if conversation is None:
        least = min(endpoint.num_running for endpoint in endpoints)
        return random.choice([item for item in endpoints if item.num_running == least])  # noqa: S311
    num_running = sum(endpoint.num_running for endpoint in endpoints)
    limit = max(FREE_LOAD, ceil(LOAD_FACTOR * (num_running + 1) / len(endpoints)))
    ranked = sorted(endpoints, key=lambda endpoint: _rank(conversation, endpoint.address))
    return next(endpoint for endpoint in ranked if endpoint.num_running < limit)


def conversation_key(beginning: str | None, adapter: int | None) -> bytes | None:
    """The same for all prompts that begin so; the cache of one adapter is of no use to another."""
    if beginning is None:
        return None
    return blake2b(f"{adapter} {beginning}".encode(), digest_size=KEY_BYTES).digest()


def _rank(conversation: bytes, address: str) -> bytes:
    return blake2b(address.encode(), key=conversation[:64], digest_size=8).digest()
