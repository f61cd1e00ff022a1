import httpx2 as httpx
import pytest

from tests.fakes.triton_server import FakeTriton, Script, tokens
from tests.frontend.conftest import MODEL

USER = [{"role": "user", "content": "hi"}]


# No vocabulary has so many tokens.
BEYOND = 2**31 - 1


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        ({"prompt": "hi"}, {"text_input": ["hi"]}),
        ({"prompt": "hi", "add_special_tokens": True}, {"add_special_tokens": [True]}),
        ({"prompt": "hi", "add_special_tokens": False}, {"add_special_tokens": [False]}),
        (
            {"messages": USER, "add_special_tokens": True},
            {"messages": ['[{"role": "user", "content": "hi"}]']},
        ),
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


def test_tokens_are_spelled_as_the_vocabulary_spells_them(http: httpx.Client, fake: FakeTriton) -> None:
    """As transformers' convert_ids_to_tokens does; a special token is its own name."""
    named = tokens(" the", b"\xe2\x80", "\n", "é")
    fake.reset(Script(prompt_ids=[0, *(token_id for token_id, _ in named)]))
    answer = http.post("/tokenize", json={"prompt": "hi", "return_token_strs": True})
    assert answer.json()["token_strs"] == ["<|endoftext|>", "Ġthe", "âĢ", "Ċ", "Ã©"]


def test_the_model_may_be_left_out(http: httpx.Client) -> None:
    """As vLLM's own clients and lm-eval's do."""
    assert http.post("/tokenize", json={"prompt": "hi"}).status_code == 200
    assert http.post("/detokenize", json={"tokens": [605]}).json() == {"prompt": "<605>"}


def test_what_a_remote_tokenizer_is_told(http: httpx.Client, fake: FakeTriton) -> None:
    """eos_token and bos_token are what lm-eval's RemoteTokenizer reads."""
    fake.reset(Script(prompt_ids=[4]))
    info = http.get("/tokenizer_info").json()
    assert (info["eos_token"], info["model_max_length"]) == ("<2>", 8192)


@pytest.mark.parametrize(("tokens", "prompt"), [([605, 606], "<605><606>"), ([], "")])
def test_detokenize(http: httpx.Client, tokens: list[int], prompt: str) -> None:
    assert http.post("/detokenize", json={"model": MODEL, "tokens": tokens}).json() == {"prompt": prompt}


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        ("/tokenize", {"model": MODEL}, 400, "prompt"),
        ("/tokenize", {"model": MODEL, "prompt": 5}, 400, "prompt"),
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
