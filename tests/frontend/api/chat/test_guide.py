"""What tools and a response format ask of the engine's grammar."""

import json
from typing import Any

import pytest
from tritonclient.grpc import model_config_pb2

from frontend.api.body import parse_body
from frontend.api.chat.delta import ChatReader
from frontend.api.chat.request import ChatRequest
from frontend.api.generation_request import from_chat
from frontend.errors import InvalidRequest
from frontend.generation.delta import Delta
from frontend.triton.model import ServedModel

TREE = {
    "properties": {"root": {"$ref": "#/$defs/Node"}},
    "$defs": {"Node": {"properties": {"children": {"items": {"$ref": "#/$defs/Node"}}}}},
}
TOOLS = [
    {"type": "function", "function": {"name": "plant", "parameters": {"type": "object", **TREE}}},
    {"type": "function", "function": {"name": "get_time"}},
]
PLANT = {"type": "function", "function": {"name": "plant"}}
ALLOWED = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [PLANT]}}
ANSWER = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {**TREE, "type": "object"}}}
GUIDE_INPUTS = frozenset({"guided_decoding_guide_type", "guided_decoding_guide"})

PLANT_DEFINITION = {
    "type": "object",
    "properties": {"root": {"$ref": "#/$defs/tool_plant/$defs/Node"}},
    "$defs": {"Node": {"properties": {"children": {"items": {"$ref": "#/$defs/tool_plant/$defs/Node"}}}}},
}
TIME_DEFINITION = {"type": "object", "properties": {}, "additionalProperties": False}


def chat(**fields: object) -> ChatRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "tools": TOOLS, **fields}
    return parse_body(json.dumps(body).encode(), ChatRequest)


def model(engine_inputs: frozenset[str] = frozenset(GUIDE_INPUTS)) -> ServedModel:
    return ServedModel(
        name="m",
        ensemble="ensemble",
        ids_ensemble="ensemble_ids",
        max_model_len=8,
        max_num_seqs=1,
        end_id=2,
        stop_ids=frozenset(),
        special_ids=frozenset(),
        vocab_size=8,
        vocabulary=(),
        input_types=dict.fromkeys(GUIDE_INPUTS, model_config_pb2.DataType.TYPE_STRING),
        tokens_per_block=None,
        sends_all_metrics=False,
        output_datatypes={},
        engine_inputs=engine_inputs,
        adapters={},
        created=0,
    )


def guide(request: ChatRequest) -> dict[str, Any] | None:
    [generation] = from_chat(request, model())
    if not GUIDE_INPUTS & generation.inputs.keys():
        return None
    assert generation.inputs["guided_decoding_guide_type"] == "json_schema"
    return json.loads(str(generation.inputs["guided_decoding_guide"]))


def call_of(name: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"name": {"const": name}, "parameters": {"$ref": f"#/$defs/tool_{name}"}},
        "required": ["name", "parameters"],
        "additionalProperties": False,
    }


def strict(tool: dict[str, Any]) -> dict[str, Any]:
    return {**tool, "function": {**tool["function"], "strict": True}}


def test_a_strict_tool_is_called_by_its_schema_or_not_at_all() -> None:
    request = chat(tools=[strict(TOOLS[0]), TOOLS[1]])
    [generation] = from_chat(request, model())
    assert generation.inputs["guided_decoding_guide_type"] == "text_or_json_schema"
    assert json.loads(str(generation.inputs["guided_decoding_guide"])) == {
        "anyOf": [call_of("plant"), call_of("get_time")],
        "$defs": {"tool_plant": PLANT_DEFINITION, "tool_get_time": {"type": "object"}},
    }
    assert generation.field_names["guided_decoding_guide"] == "tools"


@pytest.mark.parametrize("fields", [{}, {"tool_choice": "none"}])
def test_tools_are_free_unless_strict_and_offered(fields: dict[str, Any]) -> None:
    tools = TOOLS if not fields else [strict(tool) for tool in TOOLS]
    [generation] = from_chat(chat(tools=tools, **fields), model())
    assert not GUIDE_INPUTS & generation.inputs.keys()


def test_required_is_one_call_of_any_tool() -> None:
    assert guide(chat(tool_choice="required")) == {
        "anyOf": [call_of("plant"), call_of("get_time")],
        "$defs": {"tool_plant": PLANT_DEFINITION, "tool_get_time": TIME_DEFINITION},
    }


@pytest.mark.parametrize("choice", [PLANT, ALLOWED])
def test_chosen_tool_is_the_only_one(choice: dict) -> None:
    assert guide(chat(tool_choice=choice)) == {
        "anyOf": [call_of("plant")],
        "$defs": {"tool_plant": PLANT_DEFINITION},
    }


@pytest.mark.parametrize("fields", [{}, {"tool_choice": "auto"}, {"tool_choice": "none"}])
def test_free_choice_has_no_guide(fields: dict) -> None:
    assert guide(chat(**fields)) is None


def test_response_format_stands_beside_calls() -> None:
    schema = guide(chat(response_format=ANSWER))
    assert schema is not None
    assert schema["anyOf"] == [call_of("plant"), call_of("get_time"), {"$ref": "#/$defs/answer"}]
    assert schema["$defs"]["answer"]["properties"] == {"root": {"$ref": "#/$defs/answer/$defs/Node"}}


def test_response_format_is_alone_without_a_choice() -> None:
    assert guide(chat(response_format=ANSWER, tool_choice="none")) == {**TREE, "type": "object"}


@pytest.mark.parametrize("wanted", [ANSWER, {"type": "json_object"}])
def test_forced_call_goes_before_a_response_format(wanted: dict) -> None:
    assert guide(chat(response_format=wanted, tool_choice=PLANT)) == guide(chat(tool_choice=PLANT))


@pytest.mark.parametrize("choice", ["required", PLANT, ALLOWED])
def test_engine_without_grammar_refuses_a_forced_call(choice: object) -> None:
    with pytest.raises(InvalidRequest, match="tool_choice: the engine") as caught:
        from_chat(chat(tool_choice=choice), model(frozenset()))
    assert (caught.value.param, caught.value.code) == ("tool_choice", "unsupported")


@pytest.mark.parametrize(
    ("choice", "finish_reason"),
    [("auto", "tool_calls"), ("required", "tool_calls"), (ALLOWED, "tool_calls"), (PLANT, "stop")],
)
def test_finish_reason(choice: object, finish_reason: str) -> None:
    text = '{"name": "plant", "parameters": {}}'
    read = ChatReader(chat(tool_choice=choice)).read(Delta(0, text, (), 1, 1, "stop"))
    assert (read.finish_reason, len(read.tool_calls)) == (finish_reason, 1)


@pytest.mark.parametrize(
    ("parameters", "takes_none"),
    [
        ({}, True),
        ({"type": "object"}, True),
        (
            {"type": "object", "title": "Nothing", "$schema": "https://json-schema.org/draft/2020-12/schema"},
            True,
        ),
        ({"type": "object", "additionalProperties": True}, False),
        ({"type": "object", "patternProperties": {"^x": {}}}, False),
        ({"$ref": "#/$defs/A", "$defs": {"A": {"type": "object"}}}, False),
    ],
)
def test_a_tool_that_names_no_arguments_takes_none(parameters: dict[str, Any], takes_none: bool) -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": parameters}}
    schema = guide(chat(tools=[tool], tool_choice="required"))
    assert schema is not None
    assert (schema["$defs"]["tool_look"] == TIME_DEFINITION) is takes_none
