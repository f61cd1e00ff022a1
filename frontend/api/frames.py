"""Frames of a stream of server-sent events."""

import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

DONE_FRAME = b"data: [DONE]\n\n"
# json.dumps makes an encoder for each call, which takes twice as long as a token's text.
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def data_frame(data: Mapping[str, Any]) -> bytes:
    return b"data: " + _to_json(data).encode() + b"\n\n"


class TextFrames:
    """Frames that differ by one text alone: all else is rendered once, a tenth of the time for each."""

    def __init__(self, chunk_of: Callable[[str], Mapping[str, Any]]) -> None:
        # A text that nothing else in the chunk can hold.
        mark = uuid.uuid4().hex
        self._before, _, self._after = data_frame(chunk_of(mark)).partition(f'"{mark}"'.encode())

    def frame(self, text: str) -> bytes:
        return self._before + _to_json(text).encode() + self._after


def event_frame(event: Mapping[str, Any]) -> bytes:
    """A frame for clients that go by its `event` line, which repeats the type of the event."""
    return f"event: {event['type']}\n".encode() + data_frame(event)
