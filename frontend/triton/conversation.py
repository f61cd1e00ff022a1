"""What a conversation is known by over all its turns: a hash of how its prompt begins.

An engine keeps the KV cache of prompts that it has seen, in blocks of 32 to 64 tokens, and reuses the longest
beginning that a new prompt shares with one of them.
"""

from collections.abc import Mapping, Sequence
from hashlib import blake2b

from frontend.triton.model import LORA_INPUT
from frontend.triton.tensors import TensorValue

# Shorter prompts have nothing worth a detour: about 128 tokens, a few milliseconds of prefill.
MIN_CHARS = 512
MIN_IDS = 128
KEY_BYTES = 16


def conversation_key(inputs: Mapping[str, TensorValue]) -> bytes | None:
    """The same for prompts of which the later reuse the earlier's cache; None when it wins nothing."""
    beginning = _beginning(inputs)
    if beginning is None:
        return None
    # The cache of one adapter is of no use to another.
    return blake2b(f"{inputs.get(LORA_INPUT)} {beginning}".encode(), digest_size=KEY_BYTES).digest()


def _beginning(inputs: Mapping[str, TensorValue]) -> str | None:
    messages, text, ids = (inputs.get(name) for name in ("messages", "text_input", "prompt_ids"))
    if isinstance(messages, str):
        return _first_turn(messages) if len(messages) >= MIN_CHARS else None
    if isinstance(text, str):
        return text[:MIN_CHARS] if len(text) >= MIN_CHARS else None
    if isinstance(ids, Sequence):
        return str(ids[:MIN_IDS]) if len(ids) >= MIN_IDS else None
    return None


def _first_turn(messages: str) -> str:
    """The JSON of all messages up to the first answer, which every later turn repeats."""
    return messages.partition(', {"role": "assistant"')[0].removesuffix("]")
