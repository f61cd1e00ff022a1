"""Chooses the chat template of an engine folder and proves that it renders in the server's sandbox."""

import importlib
import json
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import ModuleType

from tokenizers import Tokenizer

from build.errors import BuildError
from build.paths import ROOT

_LLAMA_3_1 = Path(__file__).parent / "chat_templates" / "llama3_1.jinja"

# Control tokens of Llama 3.1 to 3.3; 3.0 has neither the last nor the date in its system block.
_LLAMA_3_1_TOKENS = {"<|start_header_id|>": 128006, "<|eot_id|>": 128009, "<|python_tag|>": 128010}

_NO_TEMPLATE = '{{- raise_exception("This model has no chat template: send a text prompt.") }}\n'


def choose_template(own: str | None, tokenizer: Tokenizer, token_names: Mapping[str, str]) -> str:
    """The checkpoint's own template, or this project's where the model speaks Llama 3.1's format."""
    if _speaks_llama_3_1(own, tokenizer):
        return _LLAMA_3_1.read_text(encoding="utf-8")
    if own is None:
        return _NO_TEMPLATE
    template = _with_token_names(own, token_names)
    _check(template)
    return template


def _speaks_llama_3_1(own: str | None, tokenizer: Tokenizer) -> bool:
    has_tokens = all(tokenizer.token_to_id(name) == index for name, index in _LLAMA_3_1_TOKENS.items())
    return has_tokens and (own is None or "<|start_header_id|>" in own)


def _with_token_names(template: str, token_names: Mapping[str, str]) -> str:
    """Sets bos_token and others in the template itself, so that the engine folder is complete."""
    # Jinja reads no pairs of escaped surrogates.
    lines = (
        f"{{%- set {key} = {json.dumps(name, ensure_ascii=False)} %}}\n"
        for key, name in sorted(token_names.items())
    )
    return "".join(lines) + template


def _check(template: str) -> None:
    serving = serving_module("preprocess", "chat_template")
    messages = [{"role": "user", "content": "Hello"}]
    try:
        serving.ChatTemplate(template, datetime.now).render(messages, None, add_generation_prompt=True)
    except serving.TemplateRefused as error:
        raise BuildError(f"The checkpoint's chat template is not usable: {error}") from error


def serving_module(model: str, name: str) -> ModuleType:
    """A module as the server has it; those of a model import each other by bare name."""
    folder = str(ROOT / "model_repository" / model / "1")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(folder)
