"""What a client wants the output to look like -> the engine's grammar inputs (guide_type and guide)."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pydantic_core import from_json

from frontend.api.body import json_depth
from frontend.api.sampling import GenerationParameters, JsonObjectFormat, JsonSchemaFormat
from frontend.errors import InvalidRequest
from frontend.triton.tensors import TensorValue

# The names of TensorRT-LLM's backend, which ignores any other silently; the last is for engines that name it.
GuideType = Literal["json", "json_schema", "regex", "ebnf_grammar", "text_or_json_schema"]

# The fields that ask for a guide.
GUIDE_FIELDS = (
    "response_format",
    "structured_outputs",
    "guided_json",
    "guided_regex",
    "guided_choice",
    "guided_grammar",
    "json_schema",
    "regex",
    "grammar",
    "ebnf",
)

MAX_GUIDE_BYTES = 64 * 1024
MAX_GUIDE_DEPTH = 32


@dataclass(frozen=True, slots=True)
class Guide:
    """A grammar that every generated text obeys; `param` is the field that asked for it."""

    type: GuideType
    text: str
    param: str

    def inputs(self) -> dict[str, TensorValue]:
        return {"guided_decoding_guide_type": self.type, "guided_decoding_guide": self.text}


def requested_guide(parameters: GenerationParameters) -> Guide | None:
    """The guide that a request asks for in any of its forms; InvalidRequest when there are two.

    Some clients send the same one in several forms, for servers of all ages.
    """
    guides = [*_format_guides(parameters), *_structured_guides(parameters), *_guided_guides(parameters)]
    for guide in guides:
        if (guide.type, guide.text) != (guides[0].type, guides[0].text):
            raise InvalidRequest(
                f"{guide.param}: {guides[0].param} asks for another form already.", guide.param
            )
    return guides[0] if guides else None


def _format_guides(parameters: GenerationParameters) -> Iterator[Guide]:
    wanted = parameters.response_format
    if isinstance(wanted, JsonObjectFormat):
        if wanted.schema_ is not None:
            yield schema_guide(wanted.schema_, "response_format")
        else:
            yield json_guide("response_format")
    elif isinstance(wanted, JsonSchemaFormat):
        yield schema_guide(wanted.json_schema.schema_, "response_format")


def _structured_guides(parameters: GenerationParameters) -> Iterator[Guide]:
    wanted = parameters.structured_outputs
    if wanted is None:
        return
    if wanted.json_object:
        yield json_guide("structured_outputs.json_object")
    yield from _guides("structured_outputs.", wanted.json_, wanted.regex, wanted.choice, wanted.grammar)


def _guided_guides(parameters: GenerationParameters) -> Iterator[Guide]:
    yield from _guides(
        "guided_",
        parameters.guided_json,
        parameters.guided_regex,
        parameters.guided_choice,
        parameters.guided_grammar,
    )
    yield from _guides("", None, parameters.regex, None, parameters.grammar)
    if parameters.json_schema is not None:
        yield schema_guide(_parsed(parameters.json_schema, "json_schema"), "json_schema")
    if parameters.ebnf is not None:
        yield grammar_guide(parameters.ebnf, "ebnf")


def _guides(
    prefix: str,
    schema: dict[str, Any] | str | None,
    regex: str | None,
    choice: list[str] | None,
    grammar: str | None,
) -> Iterator[Guide]:
    if schema is not None:
        yield schema_guide(_parsed(schema, f"{prefix}json"), f"{prefix}json")
    if regex is not None:
        yield regex_guide(regex, f"{prefix}regex")
    if choice is not None:
        yield choice_guide(choice, f"{prefix}choice")
    if grammar is not None:
        yield grammar_guide(grammar, f"{prefix}grammar")


def _parsed(schema: dict[str, Any] | str, param: str) -> dict[str, Any]:
    try:
        parsed = from_json(schema) if isinstance(schema, str) else schema
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise InvalidRequest(f"{param}: must be a JSON schema.", param)
    return parsed


def json_guide(param: str) -> Guide:
    return Guide("json", "", param)


def schema_guide(
    schema: dict[str, Any],
    param: str,
    guide_type: Literal["json_schema", "text_or_json_schema"] = "json_schema",
) -> Guide:
    """Raises InvalidRequest when the schema is too large or too deep to compile within a second."""
    if json_depth(schema) > MAX_GUIDE_DEPTH:
        raise InvalidRequest(f"{param}: the schema is nested deeper than {MAX_GUIDE_DEPTH} levels.", param)
    return _bounded(Guide(guide_type, json.dumps(schema, ensure_ascii=False), param))


def regex_guide(regex: str, param: str) -> Guide:
    return _bounded(Guide("regex", regex, param))


def grammar_guide(grammar: str, param: str) -> Guide:
    return _bounded(Guide("ebnf_grammar", grammar, param))


def choice_guide(choices: list[str], param: str) -> Guide:
    alternatives = " | ".join(json.dumps(choice, ensure_ascii=False) for choice in choices)
    return _bounded(Guide("ebnf_grammar", f"root ::= {alternatives}", param))


def _bounded(guide: Guide) -> Guide:
    if len(guide.text.encode()) > MAX_GUIDE_BYTES:
        raise InvalidRequest(f"{guide.param}: is larger than {MAX_GUIDE_BYTES} bytes.", guide.param)
    return guide
