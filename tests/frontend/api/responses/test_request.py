"""The Responses API's table of bad input: each row is refused in OpenAI's form and names the field."""

import json

import httpx2 as httpx
import pytest

from frontend.api.body import parse_body
from frontend.api.responses.request import ResponsesRequest, to_chat
from frontend.errors import InvalidRequest
from tests.fakes.triton_server import FakeTriton, Script, tokens
from tests.frontend.conftest import MODEL

ADD = {"type": "function", "name": "add", "parameters": {"type": "object"}, "strict": False}


def body(**fields: object) -> dict:
    return {"model": MODEL, "input": "hi", **fields}


def item(**fields: object) -> dict:
    return body(input=[fields])


DEEP: dict = {"type": "object"}
for _ in range(40):
    DEEP = {"type": "object", "properties": {"a": DEEP}}

BAD_BODIES = [
    ({"input": "hi"}, "model"),
    ({"model": MODEL}, "input"),
    (body(model=5), "model"),
    (body(input=5), "input"),
    (body(input=[]), "input"),
    (body(input=["hi"]), "input[0]"),
    (body(input=[{"role": "user", "content": "hi"}] * 10_001), "input"),
    (item(type="reasoning", id="r", summary=[]), "input"),
    (item(type="item_reference", id="x"), "input[0].id"),
    (item(type="compaction", encrypted_content="x"), "input[0].type"),
    (item(type=[]), "input[0].type"),
    (item(role="tool", content="x"), "input[0].role"),
    (item(role="user"), "input[0].content"),
    (item(role="user", content=5), "input[0].content"),
    (item(role="user", content=[{"type": "input_image", "image_url": "x"}]), "input[0].content[0].type"),
    (item(role="user", content=[{"type": "input_text"}]), "input[0].content[0].text"),
    (item(role="user", content="x", status="queued"), "input[0].status"),
    (item(type="function_call", name="f", arguments="{}"), "input[0].call_id"),
    (item(type="function_call", call_id="c", name="f", arguments={}), "input[0].arguments"),
    (item(type="function_call", call_id="c", name="f", arguments="[]"), "input"),
    (item(type="function_call_output", call_id="c"), "input[0].output"),
    (item(type="function_call_output", call_id="c", output="x"), "input[0].call_id"),
    (body(instructions=5), "instructions"),
    (body(max_output_tokens=0), "max_output_tokens"),
    (body(max_output_tokens=2**31), "max_output_tokens"),
    (body(temperature=2.1), "temperature"),
    (body(temperature="1"), "temperature"),
    (body(top_p=0), "top_p"),
    (body(stream="true"), "stream"),
    (body(tools=[{"type": "file_search"}]), "tools[0].type"),
    (
        body(tools=[{"type": "namespace", "name": "n", "tools": [{"type": "custom"}]}]),
        "tools[0].tools[0].type",
    ),
    (body(tools=[{"type": "web_search"}], tool_choice="required"), "tool_choice"),
    (body(tools=[{"type": "function"}]), "tools[0].name"),
    (body(tools=[{**ADD, "name": "a b"}]), "tools[0].name"),
    (body(tools=[{**ADD, "parameters": {"type": "string"}}]), "tools[0].parameters"),
    (body(tools=[{**ADD, "name": "a" * 129}]), "tools[0].name"),
    (body(tools=[ADD, ADD]), "tools"),
    (body(tool_choice="required"), "tool_choice"),
    (body(tool_choice="any"), "tool_choice"),
    (body(tool_choice={"type": "file_search"}), "tool_choice.type"),
    (body(tools=[ADD], tool_choice={"type": "function", "name": "other"}), "tool_choice"),
    (body(text={"format": {"type": "xml"}}), "text.format.type"),
    (body(text={"format": {"type": "json_schema", "schema": {}}}), "text.format.name"),
    (body(text={"format": {"type": "json_schema", "name": "x", "schema": DEEP}}), "text.format"),
    (body(metadata={str(i): "" for i in range(17)}), "metadata"),
    (body(metadata={"a": 5}), "metadata.a"),
    (body(metadata={"a": "x" * 513}), "metadata.a"),
    (body(store=True), "store"),
    (body(previous_response_id="resp_1"), "previous_response_id"),
    (body(conversation="conv_1"), "conversation"),
    (body(background=True), "background"),
    (body(include=["message.thoughts"]), "include[0]"),
    (body(truncation="middle"), "truncation"),
    (body(context_management=[{"type": "compaction"}]), "context_management"),
    (body(previous_response={"id": "x"}), "previous_response"),
    (body(prompt={"id": "x"}), "prompt"),
    (body(max_tool_calls=0), "max_tool_calls"),
    (body(top_logprobs=21), "top_logprobs"),
]


@pytest.mark.parametrize(("content", "param"), BAD_BODIES)
def test_bad_request_names_the_field(http: httpx.Client, fake: FakeTriton, content: dict, param: str) -> None:
    answer = http.post("/v1/responses", json=content)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, param)
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"].startswith(f"{param}: ")
    assert fake.requests == []


def called_with(*arguments: str) -> dict:
    return body(
        input=[
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": text} for text in arguments
        ]
    )


def allowed(*names: str) -> dict:
    tools = [{"type": "function", "name": name} for name in names]
    return body(tools=[ADD], tool_choice={"type": "allowed_tools", "mode": "auto", "tools": tools})


TOO_MANY = "must have {0} or fewer elements, not {1}."
# What fits each field, and is too much for the chat request as a whole.
BAD_CHATS = [
    (
        body(instructions="x", input=[{"role": "user", "content": "hi"}] * 10_000),
        "input",
        TOO_MANY.format(10_000, 10_001),
    ),
    (called_with("{}", "[]"), "input", "must be the text of a JSON object."),
    (called_with('{"a": NaN}'), "input", "must be the text of a JSON object."),
    (called_with(json.dumps(DEEP)), "input", "must not be nested deeper than 32 levels."),
    (
        called_with(*[json.dumps({"a": "x" * 400_000})] * 3),
        "input",
        "must be of 1,048,576 characters at most, in all calls.",
    ),
    (
        called_with('{"a": [' + "[], " * 33_000 + "1]}"),
        "input",
        "must hold fewer values, in all calls.",
    ),
    (body(tools=[ADD, ADD]), "tools", "the name add is used twice."),
    (body(tools=[{**ADD, "name": f"f{i}"} for i in range(129)]), "tools", TOO_MANY.format(128, 129)),
    (body(tool_choice="required"), "tool_choice", "needs at least one tool."),
    (allowed("other"), "tool_choice", "there is no tool named other."),
    (
        allowed(),
        "tool_choice.allowed_tools.tools",
        "must have 1 or more elements, not 0.",
    ),
    (allowed(*["add"] * 129), "tool_choice.allowed_tools.tools", TOO_MANY.format(128, 129)),
]


@pytest.mark.parametrize(("content", "param", "message"), BAD_CHATS, ids=range(len(BAD_CHATS)))
def test_what_the_chat_request_refuses_has_the_name_of_the_field_here(
    content: dict, param: str, message: str
) -> None:
    request = parse_body(json.dumps(content).encode(), ResponsesRequest)
    with pytest.raises(InvalidRequest) as caught:
        to_chat(request)
    error = caught.value
    assert (error.message, error.param, error.code) == (f"{param}: {message}", param, "invalid_value")


def test_neutral_values_pass(http: httpx.Client, fake: FakeTriton) -> None:
    fake.reset(Script([tokens("ok")]))
    neutral = {
        "background": False,
        "conversation": None,
        "include": [],
        "max_output_tokens": None,
        "metadata": None,
        "previous_response_id": None,
        "reasoning": {"effort": "none", "summary": None},
        "service_tier": "auto",
        "store": False,
        "stream_options": None,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tools": [],
        "tool_choice": "auto",
        "truncation": "disabled",
        "unknown_field": 1,
    }
    assert http.post("/v1/responses", json=body(**neutral)).status_code == 200


HINTS = {
    # Codex's, LiteLLM's and ResponsesToolRunner's.
    "include": ["reasoning.encrypted_content", "web_search_call.action.sources"],
    "reasoning": {"effort": "high", "summary": "auto"},
    "text": {"verbosity": "low", "format": None},
    "truncation": "auto",
    "service_tier": "flex",
    "prompt_cache_options": {"mode": "explicit"},
    "prompt_cache_retention": "24h",
    "stream_options": {"include_obfuscation": True},
    "max_tool_calls": 1,
    "max_output_tokens": 16.0,
    "tools": [
        {**ADD, "defer_loading": True, "name": "a" * 128},
        {"type": "web_search", "search_context_size": "low", "external_web_access": False},
        {"type": "tool_search"},
    ],
}


@pytest.mark.parametrize("name", HINTS)
def test_hints_are_honoured_by_doing_nothing(
    http: httpx.Client, fake: FakeTriton, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    fake.reset(Script([tokens("ok")]))
    caplog.set_level("INFO")
    assert http.post("/v1/responses", json=body(**{name: HINTS[name]})).status_code == 200
    assert "unknown fields" not in caplog.text


def test_fields_of_vllms_are_honoured() -> None:
    given = {
        "stop": ["a"], "seed": 1, "top_k": 5, "min_p": 0.5, "logit_bias": {"1": 2.0}, "min_tokens": 3,
        "repetition_penalty": 1.5, "presence_penalty": 1.0, "frequency_penalty": 0.5, "ignore_eos": True,
        "guided_choice": ["yes", "no"], "structured_outputs": {"regex": "a"},
    }  # fmt: skip
    chat = to_chat(parse_body(json.dumps(body(**given)).encode(), ResponsesRequest))
    assert (
        chat.model_dump(include=set(given), by_alias=True, exclude_none=True, exclude_defaults=True) == given
    )


def test_a_history_from_another_server_is_replayed(http: httpx.Client, fake: FakeTriton) -> None:
    fake.reset(Script([tokens("ok")]))
    cited = {"type": "url_citation", "url": "x", "title": "y", "start_index": 0, "end_index": 1}
    said = {"type": "output_text", "text": "hi", "annotations": [cited], "logprobs": []}
    call = {"type": "function_call", "call_id": "c", "name": "add", "arguments": "{}", "namespace": "n"}
    history = [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}]},
        {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "message", "role": "assistant", "phase": "commentary", "content": [said], "id": None},
        {"type": "reasoning", "summary": [], "encrypted_content": "x", "content": None},
        {**call, "id": "fc", "status": "completed"},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "5"}]},
    ]
    assert http.post("/v1/responses", json=body(input=history)).status_code == 200
    messages = json.loads(fake.inputs()["messages"][0])
    assert [message["role"] for message in messages] == ["user", "assistant", "tool"]
    assert (messages[1]["content"], messages[1]["tool_calls"][0]["id"]) == ("hi", "c")


def test_functions_of_a_namespace_are_offered_and_called_by_their_names(
    http: httpx.Client, fake: FakeTriton
) -> None:
    fake.reset(Script([tokens('{"name": "add", "parameters": {}}')]))
    tools = [{"type": "namespace", "name": "sums", "description": "d", "tools": [ADD]}]
    answer = http.post("/v1/responses", json=body(tools=tools)).json()
    assert (answer["output"][0]["name"], answer["output"][0]["namespace"]) == ("add", "sums")
    assert answer["tools"][0]["tools"][0]["name"] == "add"


def test_unknown_model(http: httpx.Client) -> None:
    answer = http.post("/v1/responses", json=body(model="other"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
