import socket

from frontend.metrics.counters import HTTP_REQUESTS, OTHER
from tests.frontend.conftest import serving


def test_what_never_reaches_the_application_is_counted_too() -> None:
    with serving() as stack:
        host, port = stack.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(b"this is not HTTP\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 400")
        assert stack.ledger.metrics.totals()[HTTP_REQUESTS.at[OTHER, "400"]] == 1
