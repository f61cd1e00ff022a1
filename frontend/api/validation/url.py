"""What is wrong with a URL that leads nowhere."""

import re
from collections.abc import Iterable

from frontend.errors import NotFound

MAX_SHOWN_CHARS = 200


def nothing_at(path: str, known: Iterable[str]) -> NotFound:
    """Names the path, and the one that the usual slips make it of: slashes, /v1 twice or not at all."""
    tidy = re.sub("/+", "/", path).rstrip("/")
    # The longest that it ends in, with or without /v1 before it.
    meant = max(
        (other for other in known if tidy.endswith(other) or f"/v1{tidy}" == other), key=len, default=None
    )
    advice = "GET /openapi.json tells what there is."
    if meant is not None:
        advice = (
            f"Did you mean {meant}? The base URL of OpenAI's clients ends in /v1, without a slash behind it; "
            "that of Anthropic's clients ends before /v1."
        )
    return NotFound(f"There is nothing at {path[:MAX_SHOWN_CHARS]}. {advice}", code="unknown_url")
