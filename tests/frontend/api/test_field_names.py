"""What the engine refuses by the name of its tensor, the client reads by the name of its field."""

import grpc
import httpx2 as httpx
import pytest

from tests.fakes.triton_server import FakeTriton, Script, tokens
from tests.frontend.conftest import MODEL

USER = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    ("fields", "tensor", "param"),
    [
        ({"guided_regex": "a("}, "guided_decoding_guide", "guided_regex"),
        ({"response_format": {"type": "json_object"}}, "guided_decoding_guide_type", "response_format"),
        ({"logit_bias": {"5": 1}}, "embedding_bias", "logit_bias"),
        ({"top_p": 0.5}, "runtime_top_p", "top_p"),
        ({"min_tokens": 5}, "min_tokens", "min_tokens"),
    ],
)
def test_refusal_names_the_field(
    http: httpx.Client, fake: FakeTriton, fields: dict, tensor: str, param: str
) -> None:
    details = f'in ensemble, {{"message": "{tensor}: is wrong.", "param": "{tensor}", "code": null}}'
    fake.reset(Script([tokens("a")], fails_after=0, status=grpc.StatusCode.INVALID_ARGUMENT, details=details))
    answer = http.post("/v1/chat/completions", json={"model": MODEL, "messages": USER, **fields})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["message"]) == (400, param, f"{param}: is wrong.")
