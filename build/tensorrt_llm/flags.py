"""The flags of TensorRT-LLM's build commands, as upstream's argument parsers declare them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import tomli

from build.errors import BuildError

Value = str | int | float | bool | list[str]

_RECORD = Path(__file__).parent / "flags.toml"
_NUMBERS: Mapping[str, type[int] | type[float]] = {"int": int, "float": float}
_TRUTHS = {"true": True, "false": False}


@dataclass(frozen=True)
class Flag:
    """One flag; its type is str, int, float, or flag for one that takes no value."""

    type: str
    default: Any = None
    choices: tuple[Any, ...] = ()
    required: bool = False
    many: bool = False


@cache
def flags_of(command: str) -> Mapping[str, Flag]:
    """Every flag of a command by its name without the dashes; raises KeyError for an unknown command."""
    record = read_toml(_RECORD)[command]
    return {
        name: Flag(**{**fields, "choices": tuple(fields.get("choices", ()))})
        for name, fields in record.items()
    }


def read_toml(path: Path) -> dict[str, Any]:
    """Raises BuildError for a file that is not there or not TOML."""
    try:
        return tomli.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BuildError(f"There is no file {path}.") from error
    except (tomli.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BuildError(f"{path} is not TOML: {error}.") from error


def checked(command: str, name: str, value: object) -> Value:
    """The value in the flag's own type, text converted; raises BuildError for what upstream would refuse."""
    flag = flags_of(command).get(name)
    if flag is None:
        raise BuildError(f"{command} has no flag --{name}.")
    if flag.many:
        items = value.split(",") if isinstance(value, str) else value
        return [str(_one(command, name, flag, item)) for item in _sequence(command, name, items)]
    return _one(command, name, flag, value)


def arguments(command: str, values: Mapping[str, Value]) -> list[str]:
    """The flags as a command line spells them; raises BuildError when a required one is absent."""
    for name, flag in flags_of(command).items():
        if flag.required and name not in values:
            raise BuildError(f"{command} needs --{name}.")
    words: list[str] = []
    for name in values:
        words += _words(name, checked(command, name, values[name]))
    return words


def _words(name: str, value: Value) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}"] if value else []
    if isinstance(value, list):
        return [f"--{name}", *value]
    return [f"--{name}", str(value)]


def _one(command: str, name: str, flag: Flag, value: object) -> str | int | float | bool:
    converted = _converted(flag, value)
    if converted is None:
        wanted = "true or false" if flag.type == "flag" else f"of type {flag.type}"
        raise BuildError(f"--{name} of {command} must be {wanted}, not {value!r}.")
    if flag.choices and converted not in flag.choices:
        choices = ", ".join(map(str, flag.choices))
        raise BuildError(f"--{name} of {command} must be one of {choices}, not {value!r}.")
    return converted


def _converted(flag: Flag, value: object) -> str | int | float | bool | None:
    if flag.type == "flag":
        return value if isinstance(value, bool) else _TRUTHS.get(str(value))
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if flag.type == "str":
        return str(value)
    try:
        number = _NUMBERS[flag.type](value)
    except ValueError:
        return None
    return number if not isinstance(value, float) or number == value else None


def _sequence(command: str, name: str, items: object) -> Sequence[object]:
    if isinstance(items, list) and items:
        return items
    raise BuildError(f"--{name} of {command} must be a list, not {items!r}.")
