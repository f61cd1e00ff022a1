"""Whatever JSON comes, the answer is a result or an error in the API's form, never a 5xx."""

import httpx2 as httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.fuzz.generated_request import ENDPOINTS, GeneratedRequest, any_body, any_value
from tests.fakes.triton_server import FakeTriton, Script, tokens
from tests.frontend.conftest import MODEL
from tests.fuzzing import examples


def send(http: httpx.Client, request: GeneratedRequest) -> httpx.Response:
    headers = {"Content-Type": "application/json"}
    return http.request(request.method, request.path, content=request.body, headers=headers)


def check(path: str, answer: httpx.Response) -> None:
    assert answer.status_code in (200, 400, 404)
    if answer.status_code != 200:
        is_anthropic = path.startswith("/v1/messages")
        keys = {"message", "type"} if is_anthropic else {"message", "type", "param", "code"}
        assert answer.json()["error"].keys() - {"details"} == keys


@pytest.mark.parametrize("path", ENDPOINTS)
@examples(40)
@given(data=st.data())
def test_any_value_in_any_field(http: httpx.Client, fake: FakeTriton, path: str, data: st.DataObject) -> None:
    fake.reset(Script([tokens("ok")]))
    check(path, send(http, data.draw(any_value(path, MODEL))))


@pytest.mark.parametrize("path", ENDPOINTS)
@examples(40)
@given(data=st.data())
def test_any_body(http: httpx.Client, path: str, data: st.DataObject) -> None:
    check(path, send(http, data.draw(any_body(path))))
