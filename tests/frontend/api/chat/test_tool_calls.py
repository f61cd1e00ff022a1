"""Every form of a tool call that Llama 3.1 writes, cut in every way."""

import json
import sys
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontend.api.chat.tool_calls import PYTHON_TAG, ToolCallDelta, ToolCallParser

NAMES = ("get_time", "get_weather")
PARIS = '{"city": "Paris"}'
WEATHER = '{"name": "get_weather", "parameters": {"city": "Paris"}}'
TIME = '{"name": "get_time", "parameters": {}}'
CALLED_WEATHER = ("get_weather", PARIS)
CALLED_TIME = ("get_time", "{}")

# Text, what is said, what is called.
FORMS = [
    # One call.
    (WEATHER, "", [CALLED_WEATHER]),
    (PYTHON_TAG + WEATHER, "", [CALLED_WEATHER]),
    (f"\n {PYTHON_TAG}\n{WEATHER}\n", "", [CALLED_WEATHER]),
    ('{"name":"get_weather","arguments":{"city": "Paris"}}', "", [CALLED_WEATHER]),
    ('{"type": "function", "name": "get_weather", "parameters": {"city": "Paris"}}', "", [CALLED_WEATHER]),
    ('{"name": "get_weather", "parameters": {"city": "Paris"}, "type": "function"}', "", [CALLED_WEATHER]),
    ('{"parameters": {"city": "Paris"}, "name": "get_weather"}', "", [CALLED_WEATHER]),
    ('{"parameters": {"city": "Paris"}, "type": "function", "name": "get_weather"}', "", [CALLED_WEATHER]),
    ('{\n  "name" :\t"get_weather" ,\r\n "parameters" : {"city": "Paris"}\n}', "", [CALLED_WEATHER]),
    ('{"name": "get_weather", "arguments": "{\\"city\\": \\"Paris\\"}"}', "", [CALLED_WEATHER]),
    ('{"arguments": "{\\"city\\": \\"Paris\\"}", "name": "get_weather"}', "", [CALLED_WEATHER]),
    ('{"name": "get_time"}', "", [CALLED_TIME]),
    ('{"name": "get_time", "parameters": null}', "", [CALLED_TIME]),
    ('{"name": "get_time", "arguments": ""}', "", [CALLED_TIME]),
    ('{"arguments": null, "name": "get_time"}', "", [CALLED_TIME]),
    (f"<function=get_weather>{PARIS}</function>", "", [CALLED_WEATHER]),
    (f"<function=get_weather>\n{PARIS}\n</function>\n", "", [CALLED_WEATHER]),
    (f"<function=get_weather>{PARIS}", "", [CALLED_WEATHER]),
    # Several calls.
    (f"{WEATHER}; {TIME}", "", [CALLED_WEATHER, CALLED_TIME]),
    (f"{WEATHER};{TIME};", "", [CALLED_WEATHER, CALLED_TIME]),
    (f"{WEATHER}, {TIME}", "", [CALLED_WEATHER, CALLED_TIME]),
    (f"{WEATHER}\n{TIME}", "", [CALLED_WEATHER, CALLED_TIME]),
    (f"{WEATHER}{TIME}", "", [CALLED_WEATHER, CALLED_TIME]),
    (f"[{WEATHER}, {TIME}]", "", [CALLED_WEATHER, CALLED_TIME]),
    (f" [\n  {WEATHER},\n  {TIME}\n]\n", "", [CALLED_WEATHER, CALLED_TIME]),
    (f"{PYTHON_TAG}{WEATHER}; {PYTHON_TAG}{TIME}", "", [CALLED_WEATHER, CALLED_TIME]),
    (
        f"<function=get_weather>{PARIS}</function><function=get_time>{{}}</function>",
        "",
        [CALLED_WEATHER, CALLED_TIME],
    ),
    (f"{WEATHER} {WEATHER}", "", [CALLED_WEATHER, CALLED_WEATHER]),
    # Braces, quotes and escapes inside of the arguments.
    (
        '{"name": "get_weather", "parameters": {"a": {"b": [{"c": "}]\\"{"}]}, "d": "\\\\"}}',
        "",
        [("get_weather", '{"a": {"b": [{"c": "}]\\"{"}]}, "d": "\\\\"}')],
    ),
    (
        '{"name": "get_time", "arguments": "{\\"t\\": \\"\\u00e9\\ud83d\\ude00\\\\n\\"\\n}"}',
        "",
        [("get_time", '{"t": "é😀\\n"\n}')],
    ),
    ('{"name": "get_time", "arguments": "{\\ud83dx\\uzz}"}', "", [("get_time", "{\ufffdx\ufffdzz}")]),
    # Text around calls.
    (f"I look it up.\n{WEATHER}", "I look it up.\n", [CALLED_WEATHER]),
    (f"{WEATHER} That is all.", " That is all.", [CALLED_WEATHER]),
    (f"{WEATHER}; or not", "; or not", [CALLED_WEATHER]),
    (f"first {WEATHER} then {TIME} last", "first  then  last", [CALLED_WEATHER, CALLED_TIME]),
    (f"```json\n{WEATHER}\n```", "```json\n\n```", [CALLED_WEATHER]),
    (f"{{ or so: {WEATHER}", "{ or so: ", [CALLED_WEATHER]),
    (f"[1, {WEATHER}", "[1, ", [CALLED_WEATHER]),
    (f"< <function= {WEATHER}</function", "< <function= </function", [CALLED_WEATHER]),
    # No call.
    ("", "", []),
    (" \n", " \n", []),
    ("Hello, world", "Hello, world", []),
    ("{} [] <> {a} [{}] {'name': 'get_time'}", "{} [] <> {a} [{}] {'name': 'get_time'}", []),
    (PYTHON_TAG, "", []),
    (f"{PYTHON_TAG}print({{'a': 1}})", "print({'a': 1})", []),
    (f"{PYTHON_TAG} brave_search.call(query='x')", " brave_search.call(query='x')", []),
    ('{"name": "other", "parameters": {}}', '{"name": "other", "parameters": {}}', []),
    (f'{{"name": "other", "parameters": {TIME}}}', f'{{"name": "other", "parameters": {TIME}}}', []),
    (f'{{"parameters": {TIME}, "name": "other"}}', f'{{"parameters": {TIME}, "name": "other"}}', []),
    (f'{{"result": {TIME}}}', f'{{"result": {TIME}}}', []),
    ('{"name": "Ann", "age": 5}', '{"name": "Ann", "age": 5}', []),
    ('{"name": "get_time", "id": 5}', '{"name": "get_time", "id": 5}', []),
    ('{"name": 5}', '{"name": 5}', []),
    ('{"name" "get_time"}', '{"name" "get_time"}', []),
    ('{"name": "get_time" 5}', '{"name": "get_time" 5}', []),
    ('{"type": "object", "name": "get_time"}', '{"type": "object", "name": "get_time"}', []),
    ('{"name": "get_time", "parameters": []}', '{"name": "get_time", "parameters": []}', []),
    ('{"name": "get_time", "parameters": "no}"}', '{"name": "get_time", "parameters": "no}"}', []),
    ('{"parameters": {"a": 1}}', '{"parameters": {"a": 1}}', []),
    ("<function=other>{}</function>", "<function=other>{}</function>", []),
    ("<function=get_time>none</function>", "<function=get_time>none</function>", []),
    ("a </function> <b> <|python <", "a </function> <b> <|python <", []),
    # Cut by the length or malformed: what came is kept.
    ('{"name": "get_weather", "parameters": {"city": "Par', "", [("get_weather", '{"city": "Par')]),
    ('{"name": "get_weather", "parameters": {"city": "Paris"}', "", [CALLED_WEATHER]),
    ('{"name": "get_weather", "parameters": {"city": "Paris"};' + TIME, "", [CALLED_WEATHER, CALLED_TIME]),
    ('{"name": "get_weather", "arguments": "{\\"city\\"', "", [("get_weather", '{"city"')]),
    ('{"name": "get_wea', '{"name": "get_wea', []),
    ('{"name": "get_time"', '{"name": "get_time"', []),
    ('{"parameters": {"city": "Par', '{"parameters": {"city": "Par', []),
    ("{", "{", []),
]


def parse(pieces: Sequence[str]) -> tuple[str, list[tuple[str | None, str]]]:
    parser = ToolCallParser(NAMES)
    text, calls, ids = "", [], set()
    for result in [item for piece in pieces for item in parser.feed(piece)] + parser.flush():
        if isinstance(result, str):
            text += result
        elif result.id is not None:
            assert result.index == len(calls)
            calls.append((result.name, result.arguments))
            ids.add(result.id)
        else:
            assert (result.index, result.name) == (len(calls) - 1, None)
            calls[-1] = (calls[-1][0], calls[-1][1] + result.arguments)
    assert len(ids) == len(calls)
    assert all(id_.startswith("call_") and len(id_) >= 29 for id_ in ids)
    return text, calls


def cut(text: str, cuts: Sequence[int]) -> list[str]:
    edges = [0, *sorted(at % (len(text) + 1) for at in cuts), len(text)]
    return [text[start:end] for start, end in pairwise(edges)]


@pytest.mark.parametrize(("text", "said", "called"), FORMS)
def test_form(text: str, said: str, called: list[tuple[str, str]]) -> None:
    assert parse([text]) == (said, called)
    assert parse(list(text)) == (said, called)
    for at in range(len(text)):
        assert parse([text[:at], "", text[at:]]) == (said, called), at


FRAGMENTS = st.sampled_from(
    [
        *'{}[]":;,\\<> \n',
        *("a", "u00e9", "null", "name", "parameters", "arguments", "type", "function"),
        *('"name": "get_time"', '"parameters": {', '"arguments": "{'),
        *(PYTHON_TAG, "<function=get_time>", TIME),
    ]
)


@given(fragments=st.lists(FRAGMENTS, max_size=30), cuts=st.lists(st.integers(0, 1000), max_size=10))
def test_every_cut_of_any_text_gives_the_same(fragments: list[str], cuts: list[int]) -> None:
    text = "".join(fragments)
    whole = parse([text])
    assert parse(cut(text, cuts)) == whole
    assert parse(list(text)) == whole


@given(text=st.text(st.sampled_from('{}[]":;,\\<|>/ \nnameptyr'), max_size=60))
def test_text_without_a_known_name_is_said_as_it_is(text: str) -> None:
    assert parse([text]) == (text.replace(PYTHON_TAG, ""), [])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda value: st.lists(value, max_size=3) | st.dictionaries(st.text(max_size=5), value, max_size=3),
    max_leaves=8,
)


@given(
    arguments=st.dictionaries(st.text(max_size=5), JSON, max_size=4),
    is_quoted=st.booleans(),
    ascii_only=st.booleans(),
    cuts=st.lists(st.integers(0, 1000), max_size=8),
)
def test_arguments_come_through(arguments: dict, is_quoted: bool, ascii_only: bool, cuts: list[int]) -> None:
    value = json.dumps(arguments) if is_quoted else arguments
    text = json.dumps({"name": "get_time", "parameters": value}, ensure_ascii=ascii_only)
    said, [(name, received)] = parse(cut(text, cuts))
    assert (said, name, json.loads(received)) == ("", "get_time", arguments)


def test_text_is_not_held_back() -> None:
    parser = ToolCallParser(NAMES)
    assert parser.feed("Hello") == ["Hello"]
    assert parser.feed(" <b> {") == [" <b> "]
    assert parser.feed("x") == ["{x"]


def test_json_that_is_no_call_is_held_back_no_longer_than_its_first_key() -> None:
    parser = ToolCallParser(NAMES)
    assert parser.feed('{"answer') == []
    assert parser.feed('": "long') == ['{"answer": "long']
    assert parser.feed(" text") == [" text"]


def test_arguments_come_as_they_are_written() -> None:
    parser = ToolCallParser(NAMES)
    assert parser.feed('{"name": "get_weather", "parameters": ') == []
    [first] = parser.feed('{"ci')
    assert isinstance(first, ToolCallDelta)
    assert (first.index, first.name, first.arguments) == (0, "get_weather", '{"ci')
    assert parser.feed('ty": "Pa') == [ToolCallDelta(0, None, None, 'ty": "Pa')]
    assert parser.feed('ris"}') == [ToolCallDelta(0, None, None, 'ris"}')]
    assert parser.feed("}") == []


def num_steps(text: str, piece_length: int) -> int:
    """Calls of functions, Python's and C's, that the parser makes."""
    parser = ToolCallParser(NAMES)
    pieces = [text[at : at + piece_length] for at in range(0, len(text), piece_length)]
    steps = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal steps
        steps += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        for piece in pieces:
            parser.feed(piece)
        parser.flush()
    finally:
        sys.setprofile(None)
    return steps


@pytest.mark.parametrize("piece_length", [1, 7, 1_000_000])
@pytest.mark.parametrize(
    ("start", "repeated"),
    [
        ("", "word "),
        ("", "\n"),
        ("", "{"),
        ("", "["),
        ("", '{"'),
        ("", '{"name": '),
        ("", '{"parameters": {'),
        ("", "<"),
        ("", "<|python_tag|"),
        ("", PYTHON_TAG),
        ("", "<function="),
        ("", TIME),
        (TIME, "; "),
        ('{"name": "', "a"),
        ('{"parameters": {"a": "', "b\\n"),
        ('{"name": "get_time", "parameters": {"a": [', '"b", '),
        ('{"name": "get_time", "parameters": ', '{"b": '),
        ('{"name": "get_time", "arguments": "{', "\\u00e9"),
    ],
)
def test_work_grows_linearly(start: str, repeated: str, piece_length: int) -> None:
    steps = num_steps(start + repeated * 100, piece_length)
    assert num_steps(start + repeated * 400, piece_length) <= 4.2 * steps
