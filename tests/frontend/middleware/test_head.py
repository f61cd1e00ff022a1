import http.client

import pytest

from tests.frontend.conftest import API_KEY, Stack


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/health/live", 200),
        ("/v1/models", 200),
        ("/metrics", 200),
        ("/v1/chat/completions", 405),
        ("/x", 404),
    ],
)
def test_head_is_get_without_a_body(stack: Stack, path: str, status: int) -> None:
    """On one connection, on which a body would be taken for the next answer."""
    connection = http.client.HTTPConnection(stack.url.removeprefix("http://"))
    headers = {"Authorization": f"Bearer {API_KEY}"}
    for _ in range(2):
        connection.request("HEAD", path, headers=headers)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (status, b"")
        assert int(answer.headers["content-length"]) > 0
    connection.close()
