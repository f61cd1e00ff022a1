"""Tools that a chat offers: how they are called in its answer, and which are refused, by the field's name."""

import json
from typing import Literal

import httpx2 as httpx
import openai
import pytest
from openai.types.chat import ChatCompletion
from pydantic import BaseModel

from frontend.api.chat.tool_calls import PYTHON_TAG
from tests.fakes.triton_server import FakeTriton, Script, Token, tokens
from tests.frontend.conftest import MODEL

USER = [{"role": "user", "content": "What is the weather in Paris?"}]
WEATHER_CALL = '{"name": "get_weather", "parameters": {"city": "Paris"}}'
TIME_CALL = '{"name": "get_time", "parameters": {}}'
TAG_TOKEN: Token = (5, PYTHON_TAG.encode())


def tool(name: str, **parameters: object) -> dict:
    return {"type": "function", "function": {"name": name, "description": f"Call {name}.", **parameters}}


WEATHER = tool("get_weather", parameters={"type": "object", "properties": {"city": {"type": "string"}}})
TIME = tool("get_time")
NAMED = {"type": "function", "function": {"name": "get_weather"}}


def chunks(text: str, length: int = 5) -> list[list[Token]]:
    return [tokens(text[at : at + length]) for at in range(0, len(text), length)]


def ask(client: openai.OpenAI, **parameters: object) -> ChatCompletion:
    return client.chat.completions.create(
        model=MODEL, messages=USER, **{"tools": [WEATHER, TIME], **parameters}
    )


def called(answer: ChatCompletion) -> list[tuple[str, str]]:
    return [
        (call.function.name, call.function.arguments) for call in answer.choices[0].message.tool_calls or []
    ]


def test_whole_answer(http: httpx.Client, fake: FakeTriton) -> None:
    fake.reset(Script([[TAG_TOKEN], *chunks(f"{WEATHER_CALL}; {TIME_CALL}")]))
    body = http.post(
        "/v1/chat/completions", json={"model": MODEL, "messages": USER, "tools": [WEATHER, TIME]}
    ).json()
    [choice] = body["choices"]
    ids = [call.pop("id") for call in choice["message"]["tool_calls"]]
    assert len(set(ids)) == 2
    assert all(id_.startswith("call_") and len(id_) == 29 for id_ in ids)
    assert choice["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "tool_calls": [
            {"type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}},
            {"type": "function", "function": {"name": "get_time", "arguments": "{}"}},
        ],
    }
    assert (choice["finish_reason"], choice["stop_reason"]) == ("tool_calls", None)


def test_stream_has_id_and_name_once(client: openai.OpenAI, fake: FakeTriton) -> None:
    fake.reset(Script(chunks(f"Well. {WEATHER_CALL}\n{TIME_CALL}"), pause_s=0.01))
    stream = list(ask(client, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    pieces = [piece for chunk in stream for piece in chunk.choices[0].delta.tool_calls or []]
    assert text == "Well. "
    assert [(piece.index, piece.type, piece.function.name) for piece in pieces if piece.id] == [
        (0, "function", "get_weather"),
        (1, "function", "get_time"),
    ]
    assert all(piece.type is piece.function.name is None for piece in pieces if not piece.id)
    assert len([piece for piece in pieces if piece.index == 0]) > 2
    assert stream[-1].choices[0].finish_reason == "tool_calls"


class GetWeather(BaseModel):
    city: str
    unit: Literal["C", "F"] = "C"


def test_stream_helper_of_the_sdk(client: openai.OpenAI, fake: FakeTriton) -> None:
    arguments = [{"city": "Paris", "unit": "C"}, {"city": "Rome", "unit": "F"}]
    calls = [json.dumps({"name": "GetWeather", "parameters": item}) for item in arguments]
    fake.reset(Script([[TAG_TOKEN], *chunks("; ".join(calls))]))
    tools = [openai.pydantic_function_tool(GetWeather)]
    with client.chat.completions.stream(model=MODEL, messages=USER, tools=tools) as stream:
        events = list(stream)
        answer = stream.get_final_completion()
    done = [event for event in events if event.type == "tool_calls.function.arguments.done"]
    assert [json.loads(event.arguments) for event in done] == arguments
    parsed = [call.function.parsed_arguments for call in answer.choices[0].message.tool_calls]
    assert parsed == [GetWeather(**item) for item in arguments]
    assert answer.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("parameters", [{}, {"tool_choice": "none"}, {"tools": []}])
def test_python_tag_never_shows(
    client: openai.OpenAI, fake: FakeTriton, parameters: dict, stream: bool
) -> None:
    fake.reset(Script([[TAG_TOKEN, *tokens("print(1)")]]))
    answer = ask(client, stream=stream, **parameters)
    if stream:
        text = "".join(chunk.choices[0].delta.content or "" for chunk in answer)
    else:
        text = answer.choices[0].message.content
    assert text == "print(1)"


def test_other_special_tokens_stay_out(client: openai.OpenAI, fake: FakeTriton) -> None:
    fake.reset(Script([[(4, b"<reponame>"), *tokens(WEATHER_CALL), (4, b"<reponame>")]]))
    answer = ask(client)
    assert answer.choices[0].message.content is None
    assert called(answer) == [("get_weather", '{"city": "Paris"}')]


@pytest.mark.parametrize("parameters", [{"tool_choice": "none"}, {"tools": []}, {"tools": openai.omit}])
def test_without_tools_json_is_text(client: openai.OpenAI, fake: FakeTriton, parameters: dict) -> None:
    fake.reset(Script(chunks(WEATHER_CALL)))
    answer = ask(client, **parameters)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == (WEATHER_CALL, "stop")
    assert "tools" not in fake.inputs()


def test_text_beside_tools(client: openai.OpenAI, fake: FakeTriton) -> None:
    fake.reset(Script(chunks("It rains.")))
    answer = ask(client)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("It rains.", "stop")
    assert answer.choices[0].message.tool_calls == []


def test_tools_reach_the_prompt_as_they_were_written(client: openai.OpenAI, fake: FakeTriton) -> None:
    parameters = {"type": "object", "properties": {"a": {"default": None, "enum": [None, "é"]}}, "$x": 1}
    fake.reset(Script(chunks("ok")))
    ask(client, tools=[tool("f", parameters=parameters, strict=True), TIME])
    assert json.loads(fake.inputs()["tools"][0]) == [tool("f", parameters=parameters), TIME]


def test_only_allowed_tools_are_called(client: openai.OpenAI, fake: FakeTriton) -> None:
    fake.reset(Script(chunks(f"{TIME_CALL}; {WEATHER_CALL}")))
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [NAMED]}}
    answer = ask(client, tool_choice=choice)
    assert [name for name, _ in called(answer)] == ["get_weather"]
    assert answer.choices[0].message.content == f"{TIME_CALL}; "
    assert "guided_decoding_guide" not in fake.inputs()


@pytest.mark.parametrize(("is_parallel", "num_calls"), [(True, 2), (False, 1)])
def test_parallel_calls(client: openai.OpenAI, fake: FakeTriton, is_parallel: bool, num_calls: int) -> None:
    fake.reset(Script(chunks(f"{WEATHER_CALL}; {TIME_CALL}")))
    answer = ask(client, parallel_tool_calls=is_parallel)
    assert len(called(answer)) == num_calls
    assert answer.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize("stream", [False, True])
def test_length_is_kept_when_a_call_is_cut(client: openai.OpenAI, fake: FakeTriton, stream: bool) -> None:
    cut = chunks(WEATHER_CALL[:-5])
    fake.reset(Script(cut, ends_by_end_id=False))
    answer = ask(client, max_tokens=len(cut), stream=stream)
    if stream:
        *rest, last = answer
        arguments = "".join(
            piece.function.arguments for chunk in rest for piece in chunk.choices[0].delta.tool_calls or []
        )
        assert (arguments, last.choices[0].finish_reason) == ('{"city": "Par', "length")
    else:
        assert (called(answer), answer.choices[0].finish_reason) == (
            [("get_weather", '{"city": "Par')],
            "length",
        )


def test_stop_string_is_no_tool_call(client: openai.OpenAI, fake: FakeTriton) -> None:
    fake.reset(Script(chunks(WEATHER_CALL)))
    answer = ask(client, stop="Paris")
    assert called(answer) == [("get_weather", '{"city": "')]
    assert answer.choices[0].finish_reason == "stop"


def test_choices_are_read_apart(client: openai.OpenAI, fake: FakeTriton) -> None:
    fake.reset(Script(chunks(WEATHER_CALL)))
    answer = ask(client, n=2)
    calls = [choice.message.tool_calls for choice in answer.choices]
    assert [len(own) for own in calls] == [1, 1]
    assert calls[0][0].id != calls[1][0].id


@pytest.mark.parametrize("stream", [False, True])
def test_log_probs_of_all_tokens(client: openai.OpenAI, fake: FakeTriton, stream: bool) -> None:
    written = chunks(WEATHER_CALL)
    fake.reset(Script(written))
    answer = ask(client, logprobs=True, stream=stream)
    found = [part.choices[0].logprobs for part in answer] if stream else [answer.choices[0].logprobs]
    texts = [token.token for logprobs in found if logprobs for token in logprobs.content]
    assert texts == [data.decode() for [(_, data)] in written]


def test_results_are_fed_back(client: openai.OpenAI, fake: FakeTriton) -> None:
    fake.reset(Script(chunks(f"{WEATHER_CALL}; {TIME_CALL}")))
    message = ask(client).choices[0].message
    first, second = message.tool_calls
    fake.reset(Script(chunks("It rains.")))
    messages = [
        *USER,
        message,
        {"role": "tool", "tool_call_id": first.id, "content": '{"rain": true}'},
        {"role": "tool", "tool_call_id": second.id, "content": [{"type": "text", "text": "noon"}]},
    ]
    client.chat.completions.create(model=MODEL, messages=messages, tools=[WEATHER, TIME])
    sent = json.loads(fake.inputs()["messages"][0])
    assert sent == [
        *USER,
        {
            "role": "assistant",
            "tool_calls": [
                {
                    "id": first.id,
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'},
                },
                {"id": second.id, "type": "function", "function": {"name": "get_time", "arguments": "{}"}},
            ],
        },
        *messages[2:],
    ]


def test_tool_that_says_nothing(client: openai.OpenAI, fake: FakeTriton) -> None:
    fake.reset(Script(chunks("ok")))
    result = {"role": "tool", "tool_call_id": "a", "content": None}
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    asked = {"role": "assistant", "content": None, "tool_calls": [call]}
    client.chat.completions.create(model=MODEL, messages=[*USER, asked, result])
    assert json.loads(fake.inputs()["messages"][0])[2] == {**result, "content": ""}


def function(name: str, **fields: object) -> dict:
    return {"type": "function", "function": {"name": name, **fields}}


BARE = function("get_time")


def nested(depth: int) -> dict:
    return {"a": nested(depth - 1)} if depth else {}


BAD = [
    ({"tools": {}}, "tools"),
    ({"tools": [BARE] * 129}, "tools"),
    ({"tools": [BARE, BARE]}, "tools"),
    ({"tools": ["get_time"]}, "tools[0]"),
    ({"tools": [{"type": "function"}]}, "tools[0].function"),
    ({"tools": [{"type": "custom", "custom": {"name": "a"}}]}, "tools[0].type"),
    ({"tools": [{"type": "web_search", "function": {"name": "a"}}]}, "tools[0].type"),
    ({"tools": [BARE, {"type": "function", "function": {}}]}, "tools[1].function.name"),
    ({"tools": [function("")]}, "tools[0].function.name"),
    ({"tools": [function("a b")]}, "tools[0].function.name"),
    ({"tools": [function("a\n")]}, "tools[0].function.name"),
    ({"tools": [function("a" * 65)]}, "tools[0].function.name"),
    ({"tools": [function("a", description=5)]}, "tools[0].function.description"),
    ({"tools": [function("a", strict="yes")]}, "tools[0].function.strict"),
    ({"tools": [function("a", parameters=[])]}, "tools[0].function.parameters"),
    ({"tools": [function("a", parameters={"type": "string"})]}, "tools[0].function.parameters"),
    ({"tools": [function("a", parameters=nested(29))]}, "tools[0].function.parameters"),
    ({"tools": [function("a", parameters={"title": "x" * 32_768})]}, "tools[0].function.parameters"),
    ({"tools": [BARE], "tool_choice": "any"}, "tool_choice"),
    ({"tools": [BARE], "tool_choice": 5}, "tool_choice"),
    ({"tools": [BARE], "tool_choice": {"type": "custom", "custom": {"name": "a"}}}, "tool_choice"),
    ({"tools": [BARE], "tool_choice": {"type": "function"}}, "tool_choice.function"),
    ({"tools": [BARE], "tool_choice": NAMED}, "tool_choice"),
    (
        {
            "tools": [BARE],
            "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [NAMED]}},
        },
        "tool_choice",
    ),
    (
        {"tools": [BARE], "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "all"}}},
        "tool_choice.allowed_tools.mode",
    ),
    ({"tools": [], "tool_choice": "required"}, "tool_choice"),
    ({"tools": [], "tool_choice": NAMED}, "tool_choice"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tool_choice": NAMED}, "tool_choice"),
    ({"tools": [BARE], "tool_choice": "required", "guided_regex": "a"}, "guided_regex"),
    (
        {
            "tools": [
                function(f"f{i}", parameters={"required": ["x"], "title": "x" * 30_000}) for i in range(3)
            ],
            "tool_choice": "required",
        },
        "tool_choice",
    ),
    ({"tools": [BARE], "parallel_tool_calls": "no"}, "parallel_tool_calls"),
    ({"functions": [{"name": "a"}]}, "functions"),
    ({"function_call": "auto"}, "function_call"),
]


@pytest.mark.row(4)
@pytest.mark.parametrize(("fields", "param"), BAD, ids=range(len(BAD)))
def test_bad_tools(http: httpx.Client, fake: FakeTriton, fields: dict, param: str) -> None:
    assert refused_param(http, fields) == param
    assert fake.requests == []


def refused_param(http: httpx.Client, fields: dict) -> str:
    answer = http.post("/v1/chat/completions", json={"model": MODEL, "messages": USER, **fields})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["type"] == "invalid_request_error"
    return answer.json()["error"]["param"]


# What the engine wrote before it was cut, the tools, and the call that is told.
CUT = [
    ("{", [WEATHER, TIME], []),
    ('{ "name": "get_wea', [WEATHER, TIME], []),
    ('{ "name": "get_time', [WEATHER, TIME], []),
    ('{ "name": "get_weather"', [WEATHER, TIME], [("get_weather", "")]),
    ('{ "name": "get_weather", "param', [WEATHER, TIME], [("get_weather", "")]),
    ('{ "name": "get_weather", "parameters": {"ci', [WEATHER, TIME], [("get_weather", '{"ci')]),
    ('{ "na', [WEATHER], [("get_weather", "")]),
]


@pytest.mark.parametrize(("text", "tools", "calls"), CUT)
def test_a_forced_call_that_is_cut_says_nothing(
    client: openai.OpenAI, fake: FakeTriton, text: str, tools: list[dict], calls: list[tuple[str, str]]
) -> None:
    pieces = chunks(text)
    fake.reset(Script(pieces, ends_by_end_id=False))
    limit: dict = {"tools": tools, "tool_choice": "required", "max_tokens": len(pieces)}
    answer = ask(client, **limit)
    assert called(answer) == calls
    assert answer.choices[0].message.content is None
    assert answer.choices[0].finish_reason == "length"
    with client.chat.completions.stream(model=MODEL, messages=USER, **limit) as stream:
        deltas = [event.chunk.choices[0].delta for event in stream if event.type == "chunk"]
    assert not any(delta.content for delta in deltas)
    told = [call for delta in deltas for call in delta.tool_calls or []]
    assert [call.function.name for call in told if call.function.name] == [name for name, _ in calls]
    assert "".join(call.function.arguments for call in told) == "".join(written for _, written in calls)
