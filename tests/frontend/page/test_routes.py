import re
from pathlib import Path

import pytest

from frontend.page import routes
from tests.fakes.clients import http_client
from tests.frontend.conftest import Stack

FOLDER = Path(routes.__file__).parent
PAGES = {"/": "chat.html", "/status": "chat.html", "/docs": "docs.html"}


@pytest.mark.parametrize(("path", "name"), PAGES.items())
def test_a_page_is_one_file_that_anybody_may_read(stack: Stack, path: str, name: str) -> None:
    with http_client(stack.url) as client:
        answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.content == (FOLDER / name).read_bytes()


@pytest.mark.parametrize("path", PAGES)
def test_policy_lets_nothing_in_but_the_page_itself(stack: Stack, path: str) -> None:
    with http_client(stack.url) as client:
        headers = client.get(path).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    for kind in ("script-src", "style-src"):
        assert re.fullmatch(r"'sha256-[\w+/]{43}='", policy[kind])
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", sorted(set(PAGES.values())))
def test_a_page_names_no_other_host_and_writes_no_html(name: str) -> None:
    text = (FOLDER / name).read_text()
    assert set(re.findall(r"https?://[\w.]+", text)) <= {"http://www.w3.org"}
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\(|localStorage", text)
    # The policy would drop them.
    assert not re.search(r"<[^>]+\s(?:style|on\w+)=", text)
