"""Bytes of a request's body -> a validated model, or an InvalidRequest that names the field."""

import asyncio
import logging
from collections.abc import Sequence
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.requests import Request

from frontend.api.json_size import is_small, require_modest_size
from frontend.errors import InvalidRequest, UnsupportedMediaType

logger = logging.getLogger(__name__)

MAX_NAMED_FIELDS = 20

Model = TypeVar("Model", bound=BaseModel)


async def read_body(request: Request, model: type[Model]) -> Model:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnsupportedMediaType("Send the body as JSON, with the header `Content-Type: application/json`.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("Send the body without a Content-Encoding.")
    if request.app.state.logs_prompts:
        logger.info("body: %s", (await request.body()).decode("utf-8", "replace"))
    body = await _validated(await request.body(), model, request.app.state.large_bodies)
    if body.model_extra:
        _handle_unknown(sorted(body.model_extra), request.app.state.refuses_unknown_fields)
    return body


async def _validated(content: bytes, model: type[Model], large_bodies: asyncio.Lock) -> Model:
    if is_small(content):
        return parse_body(content, model)
    # One at a time, and what else waits for the event loop comes in between.
    async with large_bodies:
        await require_modest_size(content)
        body = parse_body(content, model)
        await asyncio.sleep(0)
    return body


def _handle_unknown(fields: Sequence[str], are_refused: bool) -> None:
    if are_refused:
        raise InvalidRequest(f"{fields[0]}: unknown field.", fields[0], "unknown_field")
    # Names come from the client: no more of them than a line holds, and no line of their own.
    logger.info("unknown fields ignored: %.500r", fields[:MAX_NAMED_FIELDS])


def parse_body(body: bytes, model: type[Model]) -> Model:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise _invalid_request(body, error) from None


def _invalid_request(body: bytes, error: ValidationError) -> InvalidRequest:
    # The deepest place is the most telling one: a union reports each of its branches. And what is given
    # tells more than what is not: an object of another type lacks fields too.
    details = max(
        error.errors(include_url=False, include_input=False),
        key=lambda item: (len(item["loc"]), item["type"] != "missing"),
    )
    if details["type"] == "json_invalid":
        return InvalidRequest("The body is not valid JSON.", code="invalid_json")
    document = from_json(body)
    if not isinstance(document, dict):
        return InvalidRequest("The body must be a JSON object.", code="invalid_type")
    field = details.get("ctx", {}).get("param")
    param = _param(document, (*details["loc"], field) if field else details["loc"])
    text = details["msg"].removeprefix("Value error, ")
    code = "missing_required_parameter" if details["type"] == "missing" else "invalid_value"
    return InvalidRequest(f"{param}: {text}." if param else f"{text}.", param=param or None, code=code)


def _param(document: object, loc: Sequence[int | str]) -> str:
    """The path of a field as a client wrote it, messages[0].content; a union's branch names are left out."""
    path = ""
    for index, part in enumerate(loc):
        if part == "[key]":
            break
        if isinstance(document, dict) and (part in document or index == len(loc) - 1):
            path += f".{part}" if path else str(part)
            document = document.get(part)
        elif isinstance(document, list) and isinstance(part, int) and part < len(document):
            path += f"[{part}]"
            document = document[part]
    return path
