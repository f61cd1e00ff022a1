"""What the models of all requests are made of."""

from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field
from pydantic_core import PydanticCustomError

Item = TypeVar("Item")
# Of a list with a million wrong elements the first is told: to list them all takes seconds.
ListOf = Annotated[list[Item], Field(fail_fast=True)]


def few_members(most: int) -> BeforeValidator:
    """Counts an object's members before each of them is looked at: all that are wrong would be listed."""

    def check(value: Any) -> Any:
        if isinstance(value, dict) and len(value) > most:
            raise PydanticCustomError("too_long", f"must have {most} members at most")
        return value

    return BeforeValidator(check)


class Frozen(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


def field_error(param: str, message: str) -> PydanticCustomError:
    """For a validator: `param` is the field that is wrong, as seen from the validated value."""
    return PydanticCustomError("field", message, {"param": param})


def refuse_unsupported(value: Any) -> None:
    if value not in (None, [], {}, False):
        raise PydanticCustomError("unsupported", "this server does not support it")


# Known to OpenAI's SDKs and not honoured here: neutral values pass, all others are refused by name.
Unsupported = Annotated[Any, AfterValidator(refuse_unsupported)]


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


def told_apart_by(field: str, *values: str, default: str | None = None) -> Discriminator:
    """For a union whose members are tagged `field value`; another value is an error of that field."""

    def tag(value: Any) -> str:
        found = value.get(field, default) if isinstance(value, dict) else getattr(value, field, None)
        return f"{field} {found}"

    return Discriminator(
        tag,
        custom_error_type="field",
        custom_error_message=f"must be {' or '.join(values)}",
        custom_error_context=_ErrorContext(param=field),
    )
