"""Everything that can go wrong for a client, and the one place that turns it into HTTP or an SSE frame.

    ApiError
      InvalidRequest        400
      AuthenticationFailed  401
      NotFound              404
      MethodNotAllowed      405
      RequestTimeout        408
      BodyTooLarge          413
      UrlTooLong            414
      UnsupportedMediaType  415
      EngineOverloaded      429
      RateLimited           429
      HeadTooLarge          431
      EngineFailed          500
      EngineUnavailable     503
      DeadlineExceeded      504

Form: the error object of OpenAI's OpenAPI description, {"error": {"message", "type", "param", "code"}};
under /v1/messages that of Anthropic, {"type": "error", "error": {"type", "message"}}.
"""

import json
import logging
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

from starlette.responses import JSONResponse

from frontend.logs import current_request_id

logger = logging.getLogger(__name__)

RETRY_AFTER_S = 1


def retry_headers(after_s: float) -> dict[str, str]:
    """When to try again, as HTTP has it and, finer, as OpenAI's SDKs read it."""
    return {"Retry-After": str(math.ceil(after_s)), "Retry-After-Ms": str(math.ceil(after_s * 1000))}


ANTHROPIC_PATH = "/v1/messages"
# Status -> type; other statuses are invalid_request_error below 500, api_error from there on.
_ANTHROPIC_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


class ApiError(Exception):
    """An answer to the client: `message` and `param` are safe to show."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    default_code: ClassVar[str | None] = None
    headers: Mapping[str, str] = {}
    details: Mapping[str, object] | None = None
    """What clients act upon, in Anthropic's form."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code or self.default_code


class InvalidRequest(ApiError):
    status = 400
    type = "invalid_request_error"


class AuthenticationFailed(ApiError):
    status = 401
    type = "invalid_request_error"
    default_code = "invalid_api_key"
    headers: Mapping[str, str] = {"WWW-Authenticate": "Bearer"}


class NotFound(ApiError):
    status = 404
    type = "invalid_request_error"
    default_code = "not_found"


class MethodNotAllowed(ApiError):
    status = 405
    type = "invalid_request_error"
    default_code = "method_not_allowed"


class RequestTimeout(ApiError):
    status = 408
    type = "invalid_request_error"
    default_code = "request_timeout"


class BodyTooLarge(ApiError):
    status = 413
    type = "invalid_request_error"
    default_code = "body_too_large"


class UrlTooLong(ApiError):
    status = 414
    type = "invalid_request_error"
    default_code = "url_too_long"


class UnsupportedMediaType(ApiError):
    status = 415
    type = "invalid_request_error"
    default_code = "unsupported_media_type"


class EngineOverloaded(ApiError):
    status = 429
    type = "rate_limit_error"
    default_code = "rate_limit_exceeded"
    headers = retry_headers(RETRY_AFTER_S)


class RateLimited(ApiError):
    """A key is over a limit of its own; `retry_after_s`: when it no longer is, None: it can't be known."""

    status = 429
    type = "rate_limit_error"
    default_code = "rate_limit_exceeded"

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.headers = retry_headers(RETRY_AFTER_S if retry_after_s is None else retry_after_s)


class HeadTooLarge(ApiError):
    status = 431
    type = "invalid_request_error"
    default_code = "headers_too_large"


class EngineFailed(ApiError):
    default_code = "internal_error"


class EngineUnavailable(ApiError):
    status = 503
    default_code = "service_unavailable"
    headers = retry_headers(RETRY_AFTER_S)


class DeadlineExceeded(ApiError):
    status = 504
    default_code = "timeout"


@contextmanager
def named_for_client(names: Mapping[str, str]) -> Iterator[None]:
    """Errors about one name tell the client its own: `names` is the name within -> the client's field."""
    try:
        yield
    except InvalidRequest as error:
        raise _renamed(error, names) from error


def _renamed(error: InvalidRequest, names: Mapping[str, str]) -> InvalidRequest:
    param = error.param or ""
    name = names.get(re.split(r"[.\[]", param, maxsplit=1)[0])
    if name is None:
        return error
    message = name + error.message.removeprefix(param) if error.message.startswith(param) else error.message
    renamed = InvalidRequest(message, name, error.code)
    renamed.details = error.details
    return renamed


def model_not_found(name: str) -> NotFound:
    return NotFound(f"The model `{name[:200]}` does not exist.", param="model", code="model_not_found")


def to_body(error: ApiError) -> dict[str, object]:
    return {
        "error": {
            "message": error.message,
            "type": error.type,
            "param": error.param,
            "code": error.code,
        }
    }


def to_anthropic_body(error: ApiError) -> dict[str, object]:
    default = "invalid_request_error" if error.status < EngineFailed.status else "api_error"
    told: dict[str, object] = {
        "type": _ANTHROPIC_TYPES.get(error.status, default),
        "message": error.message,
    }
    if error.details:
        told["details"] = error.details
    return {
        "type": "error",
        "error": told,
        "request_id": current_request_id.get(),
    }


def is_anthropic(path: str) -> bool:
    return path == ANTHROPIC_PATH or path.startswith(f"{ANTHROPIC_PATH}/")


def speaks_anthropic(scope: Mapping[str, Any]) -> bool:
    """Whether the client knows answers in Anthropic's form: by the path, or by the header of its SDKs."""
    return is_anthropic(scope["path"]) or any(name == b"anthropic-version" for name, _ in scope["headers"])


def to_response(
    error: ApiError, scope: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """The answer in the form of the API that the client speaks; each leaves a line in the log.

    Not the message, which may repeat what the client sent.
    """
    told = (scope["method"], scope["path"], error.status, error.code, error.param)
    logger.info("refused: %s %.200r, %d %s %.200r", *told)
    body = to_anthropic_body(error) if speaks_anthropic(scope) else to_body(error)
    return JSONResponse(body, error.status, {**error.headers, **(headers or {})})


def to_event(error: ApiError) -> bytes:
    """The event that ends a started stream; OpenAI's SDKs raise APIError from it."""
    return b"data: " + json.dumps(to_body(error)).encode() + b"\n\n"
