"""Anthropic's Messages API, through Anthropic's SDK."""

import json
from collections.abc import Iterator

import anthropic
import httpx2 as httpx
import pytest
from anthropic.types import Message

from tests.fakes.clients import anthropic_client
from tests.fakes.triton_server import FakeTriton, Script, tokens
from tests.frontend.conftest import API_KEY, MODEL, Stack

HELLO = [tokens("Hel"), tokens("lo", " w"), tokens("orld")]
USER = [{"role": "user", "content": "hi"}]
CALLS = [
    tokens('{"name": "add", "param'),
    tokens('eters": {"a": 1'),
    tokens(', "b": 2}}; {"name": "now"'),
    tokens(', "parameters": {}}'),
]
ADD = {
    "name": "add",
    "description": "Adds",
    "input_schema": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
}
NOW = {"name": "now", "input_schema": {"type": "object"}}
TOOLS = [ADD, NOW]


@pytest.fixture
def client(stack: Stack) -> Iterator[anthropic.Anthropic]:
    with anthropic_client(stack.url, API_KEY) as client:
        yield client


def answer_of(client: anthropic.Anthropic, stream: bool, **parameters: object) -> Message:
    """The whole answer, or that which the SDK puts together from a stream."""
    given = {"model": MODEL, "messages": USER, "max_tokens": 100, **parameters}
    if not stream:
        return client.messages.create(**given)
    with client.messages.stream(**given) as events:
        return events.get_final_message()


def body(**fields: object) -> dict:
    return {"model": MODEL, "messages": USER, "max_tokens": 100, **fields}


def raw_events(http: httpx.Client, **fields: object) -> list[tuple[str, dict]]:
    answer = http.post("/v1/messages", json=body(stream=True, **fields))
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    frames = [frame.split("\n") for frame in answer.text.split("\n\n") if frame]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in frames]


def messages(fake: FakeTriton) -> list[dict]:
    return json.loads(fake.inputs()["messages"][0])


@pytest.mark.parametrize("stream", [False, True])
def test_text(client: anthropic.Anthropic, fake: FakeTriton, stream: bool) -> None:
    fake.reset(Script(HELLO, num_prompt_tokens=46))
    answer = answer_of(client, stream)
    assert (answer.type, answer.role, answer.model) == ("message", "assistant", MODEL)
    assert [(block.type, block.text) for block in answer.content] == [("text", "Hello world")]
    assert (answer.stop_reason, answer.stop_sequence) == ("end_turn", None)
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (46, 5)


def test_request_id_is_where_the_sdk_looks(client: anthropic.Anthropic, fake: FakeTriton) -> None:
    fake.reset(Script(HELLO))
    given = {"model": MODEL, "messages": USER, "max_tokens": 9, "extra_headers": {"X-Request-Id": "abc-1"}}
    assert client.messages.create(**given)._request_id == "abc-1"


@pytest.mark.parametrize("stream", [False, True])
def test_tool_use(client: anthropic.Anthropic, fake: FakeTriton, stream: bool) -> None:
    fake.reset(Script([tokens("Let me see. "), *CALLS]))
    text, *calls = answer_of(client, stream, tools=TOOLS).content
    assert text.text == "Let me see. "
    assert [(call.type, call.name, call.input) for call in calls] == [
        ("tool_use", "add", {"a": 1, "b": 2}),
        ("tool_use", "now", {}),
    ]
    assert len({call.id for call in calls}) == 2


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("script", "parameters", "stop_reason", "stop_sequence"),
    [
        (Script(HELLO), {}, "end_turn", None),
        (Script(HELLO, ends_by_end_id=False), {"max_tokens": 4}, "max_tokens", None),
        (
            Script(HELLO, ends_by_end_id=False, num_prompt_tokens=8192 - 4),
            {},
            "model_context_window_exceeded",
            None,
        ),
        (Script(HELLO), {"stop_sequences": ["x", "lo"]}, "stop_sequence", "lo"),
        (Script(CALLS), {"tools": TOOLS}, "tool_use", None),
        (
            Script([tokens('{"name": "now", "parameters": {}}')]),
            {"tools": TOOLS, "tool_choice": {"type": "tool", "name": "now"}},
            "tool_use",
            None,
        ),
        (Script([]), {}, "end_turn", None),
    ],
)
def test_stop_reason(
    client: anthropic.Anthropic,
    fake: FakeTriton,
    stream: bool,
    script: Script,
    parameters: dict,
    stop_reason: str,
    stop_sequence: str | None,
) -> None:
    fake.reset(script)
    answer = answer_of(client, stream, **parameters)
    assert (answer.stop_reason, answer.stop_sequence) == (stop_reason, stop_sequence)


def test_events(http: httpx.Client, fake: FakeTriton) -> None:
    fake.reset(Script([*HELLO, tokens(" "), tokens('{"name": "add", "parameters": {"a": 1'), tokens("}}")]))
    events = raw_events(http, tools=TOOLS)
    assert all(name == data["type"] for name, data in events)
    names = [name for name, _ in events]
    block = ["content_block_start", "content_block_delta", "content_block_stop"]
    assert [name for i, name in enumerate(names) if name != names[i - 1]] == [
        "message_start",
        *block,
        *block,
        "message_delta",
        "message_stop",
    ]
    start = events[0][1]["message"]
    assert (start["content"], start["stop_reason"], start["usage"]["input_tokens"]) == ([], None, 5)
    indices = [data["index"] for _, data in events if "index" in data]
    assert (indices, set(indices)) == (sorted(indices), {0, 1})
    pieces = [data["delta"] for name, data in events if name == "content_block_delta"]
    assert "".join(piece.get("text", "") for piece in pieces).rstrip() == "Hello world"
    assert json.loads("".join(piece.get("partial_json", "") for piece in pieces)) == {"a": 1}


def test_call_cut_by_the_length_has_what_came(client: anthropic.Anthropic, fake: FakeTriton) -> None:
    fake.reset(Script([tokens('{"name": "add", "parameters": {"a": 1, ', '"b": "x')], ends_by_end_id=False))
    answer = answer_of(client, False, tools=TOOLS, max_tokens=2)
    assert (answer.stop_reason, answer.content[0].input) == ("max_tokens", {"a": 1})


def test_arguments_that_are_no_json_are_a_failure(client: anthropic.Anthropic, fake: FakeTriton) -> None:
    fake.reset(Script([tokens('{"name": "add", "parameters": {"a": None}}')]))
    with pytest.raises(anthropic.InternalServerError, match="not JSON"):
        answer_of(client, False, tools=TOOLS)


@pytest.mark.parametrize(
    ("fields", "inputs"),
    [
        ({"max_tokens": 9}, {"max_tokens": [9]}),
        ({"temperature": 0}, {"top_k": [1]}),
        (
            {"temperature": 0.5, "top_p": 0.25, "top_k": 7},
            {"temperature": [0.5], "top_p": [0.25], "top_k": [7]},
        ),
    ],
)
def test_parameters_reach_the_engine(
    http: httpx.Client, fake: FakeTriton, fields: dict, inputs: dict[str, list]
) -> None:
    fake.reset(Script(HELLO))
    assert http.post("/v1/messages", json=body(**fields)).status_code == 200
    sent = fake.inputs()
    assert {name: sent[name] for name in inputs} == inputs


@pytest.mark.parametrize(
    ("choice", "is_guided", "calls"),
    [
        ({"type": "auto"}, False, 2),
        ({"type": "auto", "disable_parallel_tool_use": True}, False, 1),
        ({"type": "any"}, True, 2),
        ({"type": "tool", "name": "add"}, True, 1),
        ({"type": "none"}, False, 0),
    ],
)
def test_tool_choice(
    client: anthropic.Anthropic, fake: FakeTriton, choice: dict, is_guided: bool, calls: int
) -> None:
    fake.reset(Script(CALLS))
    answer = answer_of(client, False, tools=TOOLS, tool_choice=choice)
    assert ("guided_decoding_guide" in fake.inputs()) == is_guided
    assert sum(block.type == "tool_use" for block in answer.content) == calls


def test_json_schema_reaches_the_engine(client: anthropic.Anthropic, fake: FakeTriton) -> None:
    fake.reset(Script([tokens('{"a": 1}')]))
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    answer_of(client, False, output_config={"format": {"type": "json_schema", "schema": schema}})
    assert json.loads(fake.inputs()["guided_decoding_guide"][0]) == schema


def test_results_are_fed_back(client: anthropic.Anthropic, fake: FakeTriton) -> None:
    fake.reset(Script(CALLS))
    first = answer_of(client, False, tools=TOOLS)
    results = [
        {"type": "tool_result", "tool_use_id": first.content[0].id, "content": "3"},
        {
            "type": "tool_result",
            "tool_use_id": first.content[1].id,
            "content": [{"type": "text", "text": "no clock"}],
            "is_error": True,
        },
        {"type": "text", "text": "And?"},
    ]
    turns = [*USER, {"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    fake.reset(Script(HELLO))
    answer_of(client, False, tools=TOOLS, messages=turns, system="Be brief.")
    sent = messages(fake)
    assert [message["role"] for message in sent] == ["system", "user", "assistant", "tool", "tool", "user"]
    assert [json.loads(call["function"]["arguments"]) for call in sent[2]["tool_calls"]] == [
        {"a": 1, "b": 2},
        {},
    ]
    assert [call["id"] for call in sent[2]["tool_calls"]] == [
        message["tool_call_id"] for message in sent[3:5]
    ]
    assert sent[3]["content"] == "3"
    assert "".join(part["text"] for part in sent[4]["content"]) == "Error: no clock"


SYSTEM = {"role": "system", "content": "x"}
CACHED = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}


def text(*texts: str) -> list[dict]:
    return [{"type": "text", "text": item} for item in texts]


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({"system": "x"}, [SYSTEM, *USER]),
        ({"system": text("x", "y")}, [{"role": "system", "content": text("x", "y")}, *USER]),
        ({"messages": [SYSTEM, *USER]}, [SYSTEM, *USER]),
        ({"messages": [*USER, *USER]}, [{"role": "user", "content": text("hi", "hi")}]),
        ({"messages": [{"role": "user", "content": [CACHED]}]}, [{"role": "user", "content": "a"}]),
        (
            {"messages": [*USER, {"role": "assistant", "content": []}, *USER]},
            [*USER, {"role": "assistant", "content": ""}, *USER],
        ),
    ],
)
def test_message_forms(http: httpx.Client, fake: FakeTriton, fields: dict, sent: list) -> None:
    fake.reset(Script(HELLO))
    assert http.post("/v1/messages", json=body(**fields)).status_code == 200
    assert messages(fake) == sent
    assert "continue_final_message" not in fake.inputs()


def test_last_message_of_the_assistant_is_continued(client: anthropic.Anthropic, fake: FakeTriton) -> None:
    fake.reset(Script(HELLO))
    answer_of(client, False, messages=[*USER, {"role": "assistant", "content": "Well, "}])
    sent = fake.inputs()
    assert (sent["continue_final_message"], sent["add_generation_prompt"]) == ([True], [False])


def test_count_tokens(client: anthropic.Anthropic, fake: FakeTriton) -> None:
    fake.reset(Script(num_prompt_tokens=46))
    counted = client.messages.count_tokens(model=MODEL, messages=USER, system="x", tools=TOOLS)
    assert counted.input_tokens == 46
    assert [request.model_name for request in fake.requests] == ["preprocess"]
    counted_inputs = fake.inputs()
    assert counted_inputs.pop("tokenize_only") == [True]
    fake.reset(Script(HELLO))
    answer_of(client, False, system="x", tools=TOOLS)
    sent = fake.inputs()
    assert {name: sent[name] for name in counted_inputs} == counted_inputs


def test_an_answer_may_end_with_the_window(http: httpx.Client, fake: FakeTriton) -> None:
    """Claude Code sends 32000 as max_tokens to every model."""
    fake.reset(Script(HELLO, num_prompt_tokens=8188, ends_by_end_id=False))
    answer = http.post("/v1/messages", json=body(max_tokens=32000)).json()
    assert answer["stop_reason"] == "model_context_window_exceeded"
    assert (fake.inputs()["fill_window"], fake.inputs()["max_tokens"]) == ([True], [32000])


def test_ids_of_calls_are_of_this_api(client: anthropic.Anthropic, fake: FakeTriton) -> None:
    fake.reset(Script([tokens('{"name": "add", "parameters": {}}')]))
    [block] = client.messages.create(model=MODEL, messages=USER, max_tokens=9, tools=TOOLS).content
    assert block.id.startswith("toolu_")


def test_failure_within_a_stream(client: anthropic.Anthropic, fake: FakeTriton) -> None:
    fake.reset(Script(HELLO, fails_after=2))
    with pytest.raises(anthropic.APIStatusError) as caught:
        list(client.messages.create(model=MODEL, messages=USER, max_tokens=9, stream=True))
    assert caught.value.type == "api_error"


def test_client_that_leaves_stops_the_engine(http: httpx.Client, fake: FakeTriton) -> None:
    fake.reset(Script(HELLO, hangs_after=1))
    with http.stream("POST", "/v1/messages", json=body(stream=True)) as answer:
        next(answer.iter_bytes())
    assert fake.stop_ended.wait(5)
