"""What may stand before a request line."""

import h11
import pytest

from frontend.server.parser import StrictParser

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize("before", [b"", b"\r\n", b"\r\n\r\n"])
@pytest.mark.parametrize("in_one_piece", [True, False])
def test_empty_lines_before_a_request_are_ignored(before: bytes, in_one_piece: bool) -> None:
    """RFC 9112 2.2, for what comes first and for what comes behind another request."""
    parser = StrictParser()
    for _ in range(2):
        data = before + REQUEST
        for piece in [data] if in_one_piece else [bytes([byte]) for byte in data]:
            parser.receive_data(piece)
            event = parser.next_event()
        assert isinstance(event, h11.Request)
        assert isinstance(parser.next_event(), h11.EndOfMessage)
        parser.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
        parser.send(h11.EndOfMessage())
        parser.start_next_cycle()


@pytest.mark.parametrize("before", [b"\r", b"\n", b" \r\n", b"\r\r\n", b"\n\r\n"])
def test_what_is_no_empty_line_is_refused(before: bytes) -> None:
    parser = StrictParser()
    parser.receive_data(before + REQUEST)
    with pytest.raises(h11.RemoteProtocolError):
        parser.next_event()
