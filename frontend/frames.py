"""Frames of a stream of server-sent events."""

import json
from collections.abc import Mapping
from typing import Any

DONE_FRAME = b"data: [DONE]\n\n"


def data_frame(data: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def event_frame(event: Mapping[str, Any]) -> bytes:
    """A frame for clients that go by its `event` line, which repeats the type of the event."""
    return f"event: {event['type']}\n".encode() + data_frame(event)
