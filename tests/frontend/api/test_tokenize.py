import httpx2 as httpx
import pytest

from tests.fakes.triton_server import FakeTriton, Script
from tests.frontend.conftest import MODEL

USER = [{"role": "user", "content": "hi"}]


# No vocabulary has so many tokens.
BEYOND = 2**31 - 1


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        ({"prompt": "hi"}, {"text_input": ["hi"]}),
        ({"prompt": "hi", "add_special_tokens": True}, {"text_input": ["hi"]}),
        ({"messages": USER}, {"messages": ['[{"role": "user", "content": "hi"}]']}),
        ({"messages": USER, "add_generation_prompt": False}, {"add_generation_prompt": [False]}),
    ],
)
def test_tokenize(http: httpx.Client, fake: FakeTriton, body: dict, sent: dict) -> None:
    fake.reset(Script(num_prompt_tokens=3))
    answer = http.post("/tokenize", json={"model": MODEL, **body}).json()
    assert answer == {"count": 3, "max_model_len": 8192, "tokens": [600, 601, 602], "token_strs": None}
    # What a client of an earlier test has left behind may come late.
    assert any(sent.items() <= fake.inputs(index).items() for index in range(len(fake.requests)))


def test_tokens_are_spelled_on_request(http: httpx.Client, fake: FakeTriton) -> None:
    fake.reset(Script(num_prompt_tokens=3))
    answer = http.post("/tokenize", json={"model": MODEL, "prompt": "hi", "return_token_strs": True})
    assert answer.json()["token_strs"] == ["<600>", "<601>", "<602>"]


@pytest.mark.parametrize(("tokens", "prompt"), [([605, 606], "<605><606>"), ([], "")])
def test_detokenize(http: httpx.Client, tokens: list[int], prompt: str) -> None:
    assert http.post("/detokenize", json={"model": MODEL, "tokens": tokens}).json() == {"prompt": prompt}


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        ("/tokenize", {"model": MODEL}, 400, "prompt"),
        ("/tokenize", {"model": MODEL, "prompt": 5}, 400, "prompt"),
        (
            "/tokenize",
            {"model": MODEL, "prompt": "hi", "add_special_tokens": False},
            400,
            "add_special_tokens",
        ),
        ("/tokenize", {"model": MODEL, "messages": []}, 400, "messages"),
        ("/tokenize", {"model": "other", "prompt": "hi"}, 404, "model"),
        ("/detokenize", {"model": MODEL, "tokens": [-1]}, 400, "tokens[0]"),
        ("/detokenize", {"model": MODEL, "tokens": "x"}, 400, "tokens"),
        ("/detokenize", {"model": MODEL, "tokens": [1, BEYOND]}, 400, "tokens"),
    ],
)
def test_bad_body(http: httpx.Client, path: str, body: dict, status: int, param: str) -> None:
    answer = http.post(path, json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)
