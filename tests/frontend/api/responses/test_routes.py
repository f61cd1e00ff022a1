"""OpenAI's Responses API, through OpenAI's SDK."""

import json

import httpx2 as httpx
import openai
import pytest
from openai.types.responses import Response

from tests.fakes.triton_server import FakeTriton, Script, tokens
from tests.frontend.conftest import MODEL

HELLO = [tokens("Hel"), tokens("lo", " w"), tokens("orld")]
CALLS = [
    tokens('{"name": "add", "param'),
    tokens('eters": {"a": 1'),
    tokens(', "b": 2}}; {"name": "now"'),
    tokens(', "parameters": {}}'),
]
ADD = {
    "type": "function",
    "name": "add",
    "description": "Adds",
    "parameters": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
    "strict": False,
}
NOW = {"type": "function", "name": "now", "parameters": None, "strict": None}
TEXT_EVENTS = [
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    *["response.output_text.delta"] * 3,
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.completed",
]


def raw_events(http: httpx.Client, **body: object) -> list[tuple[str, dict]]:
    answer = http.post("/v1/responses", json={"model": MODEL, "input": "hi", "stream": True, **body})
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    frames = [frame.split("\n") for frame in answer.text.split("\n\n") if frame]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in frames]


def answer_of(client: openai.OpenAI, stream: bool, **parameters: object) -> Response:
    """The whole answer, or that which the SDK puts together from a stream."""
    if not stream:
        return client.responses.create(model=MODEL, **parameters)
    with client.responses.stream(model=MODEL, **parameters) as events:
        for _ in events:
            pass
        return events.get_final_response()


def messages(fake: FakeTriton) -> list[dict]:
    return json.loads(fake.inputs()["messages"][0])


@pytest.mark.parametrize("stream", [False, True])
def test_text(client: openai.OpenAI, fake: FakeTriton, stream: bool) -> None:
    fake.reset(Script(HELLO, num_prompt_tokens=46))
    answer = answer_of(client, stream, input="hi")
    assert answer.output_text == "Hello world"
    assert (answer.object, answer.status, answer.error) == ("response", "completed", None)
    assert [(item.type, item.role, item.status) for item in answer.output] == [
        ("message", "assistant", "completed")
    ]
    usage = answer.usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (46, 5, 51)


@pytest.mark.parametrize("stream", [False, True])
def test_calls(client: openai.OpenAI, fake: FakeTriton, stream: bool) -> None:
    fake.reset(Script(CALLS))
    answer = answer_of(client, stream, input="hi", tools=[ADD, NOW])
    calls = [(item.type, item.name, json.loads(item.arguments), item.status) for item in answer.output]
    assert calls == [
        ("function_call", "add", {"a": 1, "b": 2}, "completed"),
        ("function_call", "now", {}, "completed"),
    ]
    assert len({item.call_id for item in answer.output}) == 2
    assert answer.output_text == ""


@pytest.mark.parametrize("stream", [False, True])
def test_text_before_a_call(client: openai.OpenAI, fake: FakeTriton, stream: bool) -> None:
    fake.reset(Script([tokens("Let me see. "), *CALLS]))
    answer = answer_of(client, stream, input="hi", tools=[ADD, NOW])
    assert [item.type for item in answer.output] == ["message", "function_call", "function_call"]


def test_events_of_text(http: httpx.Client, fake: FakeTriton) -> None:
    fake.reset(Script(HELLO))
    events = raw_events(http)
    assert [name for name, _ in events] == TEXT_EVENTS
    assert all(name == data["type"] for name, data in events)
    assert [data["sequence_number"] for _, data in events] == list(range(len(events)))
    assert [data["delta"] for name, data in events if name.endswith("text.delta")] == ["Hel", "lo w", "orld"]
    states = {name: data["response"] for name, data in events if "response" in data}
    assert len({state["id"] for state in states.values()}) == 1
    assert states["response.created"]["status"] == "in_progress"
    assert states["response.created"]["output"] == []
    done = next(data["item"] for name, data in events if name == "response.output_item.done")
    assert states["response.completed"]["output"] == [done]


def test_events_of_a_call(http: httpx.Client, fake: FakeTriton) -> None:
    fake.reset(Script(CALLS))
    events = raw_events(http, tools=[ADD, NOW])
    arguments = ["response.function_call_arguments.delta", "response.function_call_arguments.done"]
    call = ["response.output_item.added", *arguments, "response.output_item.done"]
    names = [name for name, _ in events]
    assert [name for i, name in enumerate(names) if name != names[i - 1]] == [
        "response.created",
        "response.in_progress",
        *call,
        *call,
        "response.completed",
    ]
    places = [data["output_index"] for _, data in events if "output_index" in data]
    assert places == sorted(places)


def test_whole_and_stream_are_the_same(http: httpx.Client, fake: FakeTriton) -> None:
    fake.reset(Script(HELLO))
    body = {"model": MODEL, "input": "hi", "metadata": {"a": "b"}, "user": "u", "instructions": "x"}
    whole = http.post("/v1/responses", json=body).json()
    streamed = raw_events(http, **body)[-1][1]["response"]
    changing = {"id", "created_at", "completed_at", "output"}
    assert list(whole) == list(streamed)
    assert {k: v for k, v in whole.items() if k not in changing} == {
        k: v for k, v in streamed.items() if k not in changing
    }
    assert whole["output"][0]["content"] == streamed["output"][0]["content"]


@pytest.mark.parametrize("stream", [False, True])
def test_length_makes_an_answer_incomplete(http: httpx.Client, fake: FakeTriton, stream: bool) -> None:
    fake.reset(Script(HELLO, ends_by_end_id=False))
    body = {"model": MODEL, "input": "hi", "max_output_tokens": 4}
    if stream:
        name, data = raw_events(http, **body)[-1]
        assert name == "response.incomplete"
        answer = data["response"]
    else:
        answer = http.post("/v1/responses", json=body).json()
    assert answer["status"] == "incomplete"
    assert answer["incomplete_details"] == {"reason": "max_output_tokens"}
    assert answer["output"][0]["status"] == "incomplete"
    assert fake.inputs()["max_tokens"] == [4]


@pytest.mark.parametrize("stream", [False, True])
def test_empty_answer_has_an_empty_message(client: openai.OpenAI, fake: FakeTriton, stream: bool) -> None:
    fake.reset(Script([]))
    answer = answer_of(client, stream, input="hi")
    assert [part.text for part in answer.output[0].content] == [""]


def test_request_is_repeated_in_the_answer(http: httpx.Client, fake: FakeTriton) -> None:
    fake.reset(Script(CALLS))
    body = {
        "instructions": "Be brief.",
        "max_output_tokens": 100,
        "metadata": {"trace": "1"},
        "parallel_tool_calls": False,
        "temperature": 0.5,
        "text": {"format": {"type": "text"}},
        "tool_choice": {"type": "function", "name": "add"},
        "tools": [ADD],
        "top_p": 0.25,
        "user": "someone",
    }
    answer = http.post("/v1/responses", json={"model": MODEL, "input": "hi", **body}).json()
    assert {name: answer[name] for name in body} == body
    defaults = {"store": False, "previous_response_id": None, "truncation": "disabled", "background": False}
    assert {name: answer[name] for name in defaults} == defaults


def test_previous_turns_come_from_the_client(client: openai.OpenAI, fake: FakeTriton) -> None:
    fake.reset(Script([tokens("Let me see. "), *CALLS]))
    turns: list = [{"role": "user", "content": "1 + 2?"}]
    first = client.responses.create(model=MODEL, input=turns, tools=[ADD, NOW])
    call_ids = [item.call_id for item in first.output if item.type == "function_call"]
    turns += first.output
    turns += [{"type": "function_call_output", "call_id": id_, "output": "3"} for id_ in call_ids]
    fake.reset(Script(HELLO))
    client.responses.create(model=MODEL, instructions="Be brief.", input=turns, tools=[ADD, NOW])
    sent = messages(fake)
    assert [message["role"] for message in sent] == ["system", "user", "assistant", "tool", "tool"]
    assert sent[2]["content"] == "Let me see. "
    assert [call["id"] for call in sent[2]["tool_calls"]] == call_ids
    assert [message["tool_call_id"] for message in sent[3:]] == call_ids
    assert sent[3]["content"] == "3"


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("hi", [{"role": "user", "content": "hi"}]),
        ([{"role": "developer", "content": "x"}], [{"role": "developer", "content": "x"}]),
        (
            [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}]}],
            [{"role": "user", "content": "a"}],
        ),
        (
            [{"role": "user", "content": [{"type": "input_text", "text": text} for text in "ab"]}],
            [{"role": "user", "content": [{"type": "text", "text": text} for text in "ab"]}],
        ),
        (
            [{"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}],
            [{"role": "assistant", "content": "no"}],
        ),
        (
            [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}],
            [
                {
                    "role": "assistant",
                    "tool_calls": [
                        {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                    ],
                }
            ],
        ),
    ],
)
def test_input_forms(http: httpx.Client, fake: FakeTriton, given: object, sent: list) -> None:
    fake.reset(Script(HELLO))
    assert http.post("/v1/responses", json={"model": MODEL, "input": given}).status_code == 200
    assert messages(fake) == sent


def test_json_schema_reaches_the_engine(client: openai.OpenAI, fake: FakeTriton) -> None:
    fake.reset(Script([tokens('{"a": 1}')]))
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    text = {"format": {"type": "json_schema", "name": "thing", "schema": schema, "strict": True}}
    answer = client.responses.create(model=MODEL, input="hi", text=text)
    assert fake.inputs()["guided_decoding_guide_type"] == ["json_schema"]
    assert json.loads(fake.inputs()["guided_decoding_guide"][0]) == schema
    assert answer.text.format.schema_ == schema


@pytest.mark.parametrize(
    ("choice", "is_guided"),
    [
        ("auto", False),
        ("none", False),
        ("required", True),
        ({"type": "function", "name": "now"}, True),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "now"}]},
            True,
        ),
    ],
)
def test_tool_choice(http: httpx.Client, fake: FakeTriton, choice: object, is_guided: bool) -> None:
    fake.reset(Script([tokens('{"name": "now", "parameters": {}}')]))
    body = {"model": MODEL, "input": "hi", "tools": [ADD, NOW], "tool_choice": choice}
    answer = http.post("/v1/responses", json=body).json()
    assert ("guided_decoding_guide" in fake.inputs()) == is_guided
    assert answer["tool_choice"] == choice
    assert answer["output"][0]["type"] == ("message" if choice == "none" else "function_call")


def test_failure_within_a_stream(client: openai.OpenAI, fake: FakeTriton) -> None:
    fake.reset(Script(HELLO, fails_after=2))
    events = list(client.responses.create(model=MODEL, input="hi", stream=True))
    assert events[-1].type == "response.failed"
    assert events[-1].response.status == "failed"
    assert events[-1].response.error.code == "server_error"
    assert "secret" not in events[-1].response.error.message
    assert [event.sequence_number for event in events] == list(range(len(events)))


@pytest.mark.parametrize("stream", [False, True])
def test_failure_before_the_first_token_has_its_status(
    client: openai.OpenAI, fake: FakeTriton, stream: bool
) -> None:
    fake.reset(Script(HELLO, fails_after=0))
    with pytest.raises(openai.InternalServerError):
        client.responses.create(model=MODEL, input="hi", stream=stream)


@pytest.mark.parametrize("stream", [False, True])
def test_client_that_leaves_stops_the_engine(http: httpx.Client, fake: FakeTriton, stream: bool) -> None:
    fake.reset(Script(HELLO, hangs_after=1 if stream else 0))
    body = {"model": MODEL, "input": "hi", "stream": stream}
    if stream:
        with http.stream("POST", "/v1/responses", json=body) as answer:
            next(answer.iter_bytes())
    else:
        with pytest.raises(httpx.TimeoutException):
            http.post("/v1/responses", json=body, timeout=0.5)
    assert fake.stop_ended.wait(5)


@pytest.mark.parametrize(
    ("fields", "num_top"),
    [
        ({"include": ["message.output_text.logprobs"]}, 0),
        ({"include": ["message.output_text.logprobs"], "top_logprobs": 2}, 2),
        ({"top_logprobs": 1}, 1),
    ],
)
def test_log_probs_come_with_their_text(
    client: openai.OpenAI, fake: FakeTriton, fields: dict, num_top: int
) -> None:
    fake.reset(Script([tokens("Hel"), tokens("lo", " w")]))
    with client.responses.stream(model=MODEL, input="x", **fields) as stream:
        pieces = [event for event in stream if event.type == "response.output_text.delta"]
        streamed = stream.get_final_response()
    whole = client.responses.create(model=MODEL, input="x", **fields)
    for answer in (streamed, whole):
        told = answer.output[0].content[0].logprobs
        assert [(token.token, token.logprob) for token in told] == [("Hel", -0.5), ("lo", -1.0), (" w", -1.5)]
        assert [len(token.top_logprobs) for token in told] == [num_top] * 3
        assert answer.top_logprobs == num_top
    assert ["".join(token.token for token in piece.logprobs) for piece in pieces] == ["Hel", "lo w"]


def test_an_answer_with_log_probs_may_come_back(client: openai.OpenAI, fake: FakeTriton) -> None:
    fake.reset(Script(HELLO))
    turns: list = [{"role": "user", "content": "hi"}]
    turns += client.responses.create(model=MODEL, input=turns, top_logprobs=2).output
    fake.reset(Script(HELLO))
    client.responses.create(model=MODEL, input=[*turns, {"role": "user", "content": "And?"}])
    assert [message["content"] for message in messages(fake)] == ["hi", "Hello world", "And?"]


def test_no_log_probs_unless_asked_for(client: openai.OpenAI, fake: FakeTriton) -> None:
    fake.reset(Script([tokens("Hel")]))
    assert client.responses.create(model=MODEL, input="x").output[0].content[0].logprobs == []
    assert "return_log_probs" not in fake.inputs()
