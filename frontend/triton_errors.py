"""A failure of Triton -> the error that a client may see."""

import json
import logging

import grpc

from frontend.errors import (
    ApiError,
    DeadlineExceeded,
    EngineFailed,
    EngineOverloaded,
    EngineUnavailable,
    InvalidRequest,
)

logger = logging.getLogger(__name__)

# "Stub process 'preprocess_0_0' is not healthy", as an internal error: a Python model's process has died, and
# Triton runs on without it.
DEAD_MODEL = "Stub process"


def engine_error(code: grpc.StatusCode, details: str) -> ApiError:
    """Only errors in the models' JSON form keep their text."""
    if code == grpc.StatusCode.INVALID_ARGUMENT and (error := _own_error(details)):
        return error
    logger.error("Triton answered %s: %s", code.name, details)
    # Triton's "Exceeds maximum queue size", and the executor's "Maximum queue size of 8 has been reached".
    if "maximum queue size" in details.lower():
        return EngineOverloaded("The engine's queue is full.")
    if code == grpc.StatusCode.UNAVAILABLE or DEAD_MODEL in details:
        return EngineUnavailable("The engine is not available.")
    if code == grpc.StatusCode.NOT_FOUND:
        return EngineUnavailable("The model is not loaded.")
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded("The engine did not answer in time.")
    return EngineFailed("The engine failed to process the request.")


def _own_error(details: str) -> InvalidRequest | None:
    """`in ensemble 'ensemble', {"message": ..., "param": ..., "code": ...}` -> the error that it carries."""
    try:
        error = json.loads(details[details.index("{") :])
        return InvalidRequest(str(error["message"]), error["param"], error["code"])
    except (ValueError, KeyError, TypeError):
        return None
