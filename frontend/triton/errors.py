"""A failure of Triton -> the error that a client may see."""

import json
import logging

from grpc import StatusCode

from frontend.errors import (
    ApiError,
    DeadlineExceeded,
    EngineFailed,
    EngineOverloaded,
    EngineUnavailable,
    InvalidRequest,
)

logger = logging.getLogger(__name__)

# As internal errors, for Triton runs on: "Stub process 'preprocess_0_0' is not healthy" of the Python
# backend, "the engine's process was ended by signal 9" and "the engine can't be reached" of engine_process.
DEAD_MODEL = ("Stub process", "the engine's process", "the engine can't be reached")
# Of a Triton that is about to end, or has no such model.
_GONE = ("server is stopping", "is not ready", "is not found", "unavailable")
_TOO_LATE = "timeout expired"


def engine_error(code: StatusCode, details: str) -> ApiError:
    """Only errors in the models' JSON form keep their text."""
    if code == StatusCode.INVALID_ARGUMENT and (error := _own_error(details)):
        return error
    # Triton's "Exceeds maximum queue size", and the executor's "Maximum queue size of 8 has been reached".
    is_full = "maximum queue size" in details.lower()
    is_gone = not is_full and (code == StatusCode.UNAVAILABLE or any(it in details for it in DEAD_MODEL))
    # One that is gone is told once, by whoever takes it out of service: it may fail hundreds of streams.
    logger.log(logging.DEBUG if is_gone else logging.ERROR, "Triton answered %s: %s", code.name, details)
    if is_full:
        return EngineOverloaded("The engine's queue is full.")
    if is_gone:
        return EngineUnavailable("The engine is not available.")
    if code == StatusCode.RESOURCE_EXHAUSTED:
        return EngineOverloaded("The engine takes no further calls now.")
    if code == StatusCode.NOT_FOUND:
        return EngineUnavailable("The model is not loaded.")
    if code == StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded("The engine did not answer in time.")
    return EngineFailed("The engine failed to process the request.")


def stream_error(text: str) -> ApiError:
    """Of a message within a stream, which says what happened without a status.

    With the metadata `triton_grpc_error` it would have one, and tritonserver 2.51 would die: it goes on with
    a call that it has ended so, and requests whose 8 generations are refused at once end it by SIGSEGV or
    SIGABRT within seconds.
    """
    if error := _own_error(text):
        return error
    return engine_error(_likely_status(text.lower()), text)


def _likely_status(text: str) -> StatusCode:
    if any(words in text for words in _GONE):
        return StatusCode.UNAVAILABLE
    return StatusCode.DEADLINE_EXCEEDED if _TOO_LATE in text else StatusCode.INTERNAL


def _own_error(details: str) -> InvalidRequest | None:
    """`in ensemble 'ensemble', {"message": ..., "param": ..., "code": ...}` -> the error that it carries."""
    try:
        error = json.loads(details[details.index("{") :])
        return InvalidRequest(str(error["message"]), error["param"], error["code"])
    except (ValueError, KeyError, TypeError):
        return None
