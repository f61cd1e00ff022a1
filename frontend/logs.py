"""Log lines with the request's id."""

import logging
from contextvars import ContextVar

REQUEST_ID_HEADER = "x-request-id"
current_request_id: ContextVar[str] = ContextVar("current_request_id", default="-")


class RequestIdFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = current_request_id.get()
        return True


class WithoutQuery(logging.Filter):
    """Cuts a URL's query off uvicorn's access log: it is nothing that we read, and may hold a key."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                value.partition("?")[0] if isinstance(value, str) else value for value in record.args
            )
        return True


def configure_logging(level: str) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"))
    handler.addFilter(RequestIdFilter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # At debug it tells every byte of every header of every call to Triton.
    logging.getLogger("hpack").setLevel(logging.INFO)
