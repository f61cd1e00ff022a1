"""Bytes of a request's body -> a validated model, or an InvalidRequest that names the field."""

import asyncio
import logging
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.requests import Request

from frontend.api.validation.complaint import invalid_field
from frontend.api.validation.unknown_fields import take_unknown_fields
from frontend.errors import InvalidRequest, UnsupportedMediaType

logger = logging.getLogger(__name__)

# Validation is one call that nothing interrupts. It takes up to 2 us for an object, a list or a member,
# 0.15 us for an element of a list, 60 us for a number of 4,000 digits, next to nothing for a long string.
# This is the bound of a body, and again of the texts within it that are JSON themselves: 0.06 s at most.
MAX_WEIGHT = 32_768
ELEMENTS_PER_UNIT = 16
BYTES_PER_UNIT = 128

_OPENING = (b"{", b"[", b":")
# Every string but the first stands behind something that weighs.
_MAX_STRINGS = MAX_WEIGHT * ELEMENTS_PER_UNIT + 1

Model = TypeVar("Model", bound=BaseModel)


async def read_body(request: Request, model: type[Model]) -> Model:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnsupportedMediaType("Send the body as JSON, with the header `Content-Type: application/json`.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("Send the body without a Content-Encoding.")
    if request.app.state.logs_prompts:
        logger.info("body: %s", (await request.body()).decode("utf-8", "replace"))
    content = await request.body()
    try:
        body = await _validated(content, model, request.app.state.large_bodies)
        request.state.model = getattr(body, "model", None)
        take_unknown_fields(body, request.app.state.refuses_unknown_fields)
    except InvalidRequest:
        request.state.model = _model_named_in(content)
        raise
    return body


def _model_named_in(content: bytes) -> str | None:
    """Of a body that has been refused."""
    try:
        document = from_json(content)
    except ValueError:
        return None
    name = document.get("model") if isinstance(document, dict) else None
    return name if isinstance(name, str) else None


async def _validated(content: bytes, model: type[Model], large_bodies: asyncio.Lock) -> Model:
    if is_small(content):
        return parse_body(content, model)
    # One at a time, and what else waits for the event loop comes in between.
    async with large_bodies:
        await require_modest_size(content)
        body = parse_body(content, model)
        await asyncio.sleep(0)
    return body


def parse_body(body: bytes, model: type[Model]) -> Model:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise _invalid_body(body, error) from None


def validate_fields(fields: Mapping[str, Any], model: type[Model]) -> Model:
    """For a body that was made here, of values that the model takes as they are."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise invalid_field(fields, error) from None


def _invalid_body(body: bytes, error: ValidationError) -> InvalidRequest:
    if error.errors(include_url=False, include_input=False)[0]["type"] == "json_invalid":
        return InvalidRequest("The body is not valid JSON.", code="invalid_json")
    document = from_json(body)
    if not isinstance(document, dict):
        return InvalidRequest("The body must be a JSON object.", code="invalid_type")
    return invalid_field(document, error)


async def require_modest_size(body: bytes) -> None:
    """Raises InvalidRequest; counting, which takes 0.04 s in the largest bodies, is left to a thread."""
    if await asyncio.to_thread(json_weight, body) > MAX_WEIGHT:
        raise InvalidRequest(
            f"The body holds too many values: {MAX_WEIGHT:,} objects, lists and members are the most, or "
            "some 400,000 list elements.",
            code="too_many_values",
        )


def is_small(text: bytes | str) -> bool:
    """Whether its length alone says that it weighs little."""
    return len(text) <= MAX_WEIGHT


def json_weight(text: bytes) -> int:
    """Objects, lists and members, a 16th of the list elements, a 128th of the bytes outside of strings."""
    unescaped = text.replace(rb"\\", b"").replace(rb"\"", b"")
    if unescaped.count(b'"') > 2 * _MAX_STRINGS:
        return MAX_WEIGHT + 1
    # A string that does not end is for the validation to complain about.
    outside = b"".join(unescaped.split(b'"')[::2])
    if len(outside) > MAX_WEIGHT * BYTES_PER_UNIT:
        return MAX_WEIGHT + 1
    num_opened = sum(outside.count(character) for character in _OPENING)
    return num_opened + outside.count(b",") // ELEMENTS_PER_UNIT + len(outside) // BYTES_PER_UNIT


def json_depth(value: object) -> int:
    """Levels of nesting, counted without recursion; 0 for a value that holds no other."""
    if not isinstance(value, dict | list):
        return 0
    depth = 0
    level: list[dict[str, object] | list[object]] = [value] if value else []
    while level:
        depth += 1
        level = [
            item for parent in level for item in _items(parent) if item and isinstance(item, dict | list)
        ]
    return depth


def _items(parent: dict[str, object] | list[object]) -> Collection[object]:
    return parent.values() if isinstance(parent, dict) else parent
