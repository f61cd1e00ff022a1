"""What the models of all requests are made of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

INT32_MAX = 2**31 - 1

Item = TypeVar("Item")
# Of a list with a million wrong elements the first is told: to list them all takes seconds.
ListOf = Annotated[list[Item], Field(fail_fast=True)]


def few_members(most: int) -> BeforeValidator:
    """Counts an object's members before each of them is looked at: all that are wrong would be listed."""

    def check(value: Any) -> Any:
        if isinstance(value, dict) and len(value) > most:
            raise PydanticCustomError("too_many_members", f"must have {most} members at most")
        return value

    return BeforeValidator(check)


class Frozen(BaseModel):
    # Unknown fields are kept apart, for take_unknown_fields to tell them by name.
    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False, extra="allow")


class _Whole:
    """To JSON Schema 16.0 is an integer; only what is no integer at first sight costs a call in Python."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        exact = handler(source)
        lenient = core_schema.no_info_before_validator_function(_from_whole, exact)
        return core_schema.union_schema([exact, lenient], mode="left_to_right")

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return handler(schema["choices"][0])


def _from_whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = _Whole()
Positive = Annotated[int, Field(ge=1, le=INT32_MAX), WHOLE]
Natural = Annotated[int, Field(ge=0, le=INT32_MAX), WHOLE]


class NullMeans:
    """A field whose null stands for its default."""

    def __init__(self, default: Any) -> None:
        self._default = default

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        null = core_schema.no_info_after_validator_function(
            lambda _: self._default, core_schema.none_schema()
        )
        return core_schema.union_schema([handler(source), null], mode="left_to_right")

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"anyOf": [handler(schema["choices"][0]), {"type": "null"}]}


# Switches of which null is the default.
Off = Annotated[bool, NullMeans(False)]
On = Annotated[bool, NullMeans(True)]


def field_error(param: str, message: str) -> PydanticCustomError:
    """For a validator: `param` is the field that is wrong, as seen from the validated value."""
    return PydanticCustomError("field", message, {"param": param})


class _NoEffect:
    """Marks a field that is honoured by doing nothing (docs/api.md)."""


NO_EFFECT = _NoEffect()
Hint = Annotated[Any, NO_EFFECT]


_NEUTRAL: tuple[Any, ...] = (False, "", [], {})


def is_neutral(value: Any, default: Any = None) -> bool:
    """Whether it asks for nothing."""
    return value in (None, True) if default is True else value in (None, *_NEUTRAL, default)


@dataclass(frozen=True)
class Refusal:
    """Of a field with it only neutral values pass."""

    reason: str
    default: Any
    details: Mapping[str, Any] | None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._refuse, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        default = [self.default] if self.default is not None else []
        return {"enum": [None, *(value for value in _NEUTRAL if is_neutral(value, self.default)), *default]}

    def _refuse(self, value: Any) -> Any:
        if not is_neutral(value, self.default):
            raise PydanticCustomError("unsupported", self.reason, {"details": self.details})
        return value


def unsupported(
    reason: str = "this server does not support it",
    default: Any = None,
    details: Mapping[str, Any] | None = None,
) -> Refusal:
    """Refuses a field by name. `default`: what a server does that is not asked for anything.

    `details`: for clients that act upon the error.
    """
    return Refusal(reason, default, details)


# Known to the vendors' SDKs and not honoured here.
Unsupported = Annotated[Any, unsupported()]
# What promises that something is kept for later requests.
Stored = Annotated[
    Any, unsupported("this server keeps nothing between requests; send the whole history with each")
]


def _refuse_empty_object(value: Any) -> Any:
    if value == {}:
        raise PydanticCustomError("unsupported", "this server does not support it")
    return value


# As above, but an empty object is none of the neutral values: it asks for the thing with its defaults.
UnsupportedOptions = Annotated[Unsupported, BeforeValidator(_refuse_empty_object)]


class _ErrorContext(dict[str, str | int | float]):
    """Hashable, as an annotation within a union has to be."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(self.items()))


def named_kind(kind: Callable[[Any], str | None], rule: str) -> Discriminator:
    """For a union whose members are told apart by `kind`; what has none is an error of the field `type`."""
    return Discriminator(
        kind,
        custom_error_type="field",
        custom_error_message=rule,
        custom_error_context=_ErrorContext(param="type"),
    )


def told_apart_by(
    field: str, *values: str, default: str | None = None, note: str | None = None
) -> Discriminator:
    """For a union whose members are tagged `field value`; another value is an error of that field."""

    def tag(value: Any) -> str:
        found = value.get(field, default) if isinstance(value, dict) else getattr(value, field, None)
        return f"{field} {found}"

    context = {"param": field} | ({"note": note} if note else {})
    return Discriminator(
        tag,
        custom_error_type="field",
        custom_error_message=f"must be {' or '.join(values)}",
        custom_error_context=_ErrorContext(context),
    )
