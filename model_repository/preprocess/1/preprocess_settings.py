"""The parameters of config.pbtxt, checked once when the model loads."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

TODAY_VARIABLE = "TODAY_DATE"


@dataclass(frozen=True)
class PreprocessSettings:
    """max_model_len is in tokens, prompt and completion together; logits_size counts the model's ids."""

    tokenizer_folder: Path
    max_model_len: int
    end_id: int
    stop_ids: tuple[int, ...]
    today: Callable[[], datetime]
    guide_check: str
    logits_size: int


def read_settings(parameters: Mapping[str, str], models_folder: Path) -> PreprocessSettings:
    """Raises ValueError with a sentence that names the parameter."""
    return PreprocessSettings(
        tokenizer_folder=_tokenizer_folder(models_folder / _required(parameters, "engine_dir")),
        max_model_len=_whole_number("max_model_len", _required(parameters, "max_model_len"), least=2),
        end_id=_whole_number("end_id", _required(parameters, "end_id"), least=0),
        stop_ids=_whole_numbers("stop_ids", _required(parameters, "stop_ids")),
        today=_today(parameters),
        guide_check=_required(parameters, "guide_check"),
        logits_size=_whole_number("logits_size", _required(parameters, "logits_size"), least=1),
    )


def _required(parameters: Mapping[str, str], name: str) -> str:
    if name not in parameters:
        raise ValueError(f"The parameter {name} of preprocess is missing.")
    return parameters[name]


def _tokenizer_folder(engine_dir: Path) -> Path:
    folder = engine_dir.resolve() / "tokenizer"
    for name in ("tokenizer.json", "chat_template.jinja"):
        if not (folder / name).is_file():
            raise ValueError(f"{folder / name} is missing: run `make build-engines`, or correct engine_dir.")
    return folder


def _whole_number(name: str, text: str, least: int) -> int:
    if not text.strip().isdecimal() or int(text) < least:
        raise ValueError(f"The parameter {name} must be a whole number of at least {least}, not {text!r}.")
    return int(text)


def _whole_numbers(name: str, text: str) -> tuple[int, ...]:
    return tuple(_whole_number(name, item, least=0) for item in text.split(",") if text.strip())


def _today(parameters: Mapping[str, str]) -> Callable[[], datetime]:
    """The environment goes before the parameter: who serves an engine may not be who built it."""
    given = os.environ.get(TODAY_VARIABLE, "")
    text = given or _required(parameters, "today_date")
    if text == "today":
        return datetime.now
    try:
        fixed = datetime.strptime(text, "%d %b %Y")
    except ValueError as error:
        raise ValueError(
            f"{TODAY_VARIABLE if given else 'The parameter today_date'} must be like 26 Jul 2024, or today, "
            f"not {text!r}."
        ) from error
    return lambda: fixed
