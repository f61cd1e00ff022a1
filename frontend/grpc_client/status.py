"""How a gRPC call ended: its status code and what the server says of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from grpc import StatusCode
from h2.errors import ErrorCodes

_CODES = {code.value[0]: code for code in StatusCode}
# gRPC's PROTOCOL-HTTP2.md, "Errors": what a stream that is reset means; others are INTERNAL. A refused one
# is UNAVAILABLE there: but it is one call's, and no sign that the server is gone.
_RESETS = {
    ErrorCodes.REFUSED_STREAM: StatusCode.RESOURCE_EXHAUSTED,
    ErrorCodes.CANCEL: StatusCode.CANCELLED,
    ErrorCodes.ENHANCE_YOUR_CALM: StatusCode.RESOURCE_EXHAUSTED,
    ErrorCodes.INADEQUATE_SECURITY: StatusCode.PERMISSION_DENIED,
}


@dataclass(frozen=True, slots=True)
class GrpcStatus:
    """As the trailers tell it."""

    code: StatusCode
    details: str = ""


class GrpcError(Exception):
    """A call that ended with another status than OK."""

    def __init__(self, status: GrpcStatus) -> None:
        super().__init__(f"{status.code.name}: {status.details}")
        self.code = status.code
        self.details = status.details


def status_of_trailers(headers: Mapping[str, str]) -> GrpcStatus:
    """Of the headers that end a call; a proxy's answer has no status of gRPC's."""
    number = headers.get("grpc-status", "")
    code = _CODES.get(int(number)) if number.isdecimal() else None
    if code is None:
        return GrpcStatus(StatusCode.UNKNOWN, f"no gRPC status in {dict(headers)}")
    return GrpcStatus(code, unquote(headers.get("grpc-message", "")))


def status_of_reset(error_code: int) -> GrpcStatus:
    """Of a stream that the server broke off."""
    code = next((code for error, code in _RESETS.items() if error == error_code), StatusCode.INTERNAL)
    return GrpcStatus(code, f"the server reset the stream with error {error_code}")
