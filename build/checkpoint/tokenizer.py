"""Turns a checkpoint's tokenizer and chat template into a folder of the same form for every source."""

import base64
import binascii
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
from tokenizers import AddedToken, Tokenizer

from build.checkpoint.byte_level_bpe import (
    WORDS,
    byte_spelling,
    check_byte_level,
    make_tokenizer,
    merges_of_ranks,
)
from build.checkpoint.template import choose_template
from build.errors import BuildError

# llama.cpp's llama_token_type.
_CONTROL, _USER_DEFINED = 3, 4

# Control tokens by which models of Llama architecture end a turn or a text.
_END_NAMES = ("<|im_end|>", "<|endoftext|>", "<|end_of_text|>", "<|eom_id|>", "<|eot_id|>", "</s>")

# Llama 3.1's names for the ids from 128000 on; the rest of its 256 control tokens is numbered.
_LLAMA_3_NUM_WORDS = 128_000
_LLAMA_3_NAMES = {
    0: "<|begin_of_text|>",
    1: "<|end_of_text|>",
    4: "<|finetune_right_pad_id|>",
    6: "<|start_header_id|>",
    7: "<|end_header_id|>",
    8: "<|eom_id|>",
    9: "<|eot_id|>",
    10: "<|python_tag|>",
}


@dataclass(frozen=True)
class TokenizerFacts:
    """What the models' parameters need; bos_id is the id put before completion texts, if any."""

    vocab_size: int
    end_id: int
    stop_ids: tuple[int, ...]
    special_ids: tuple[int, ...]
    bos_id: int | None


def from_gguf(reader: gguf.GGUFReader, folder: Path) -> TokenizerFacts:
    """Reads the tokenizer.ggml fields; raises BuildError for a kind or a pre-tokenizer that is not known."""
    fields = _GgufFields(reader)
    if fields.get("model") != "gpt2":
        raise BuildError(f"The GGUF tokenizer {fields.get('model')!r} is not byte-level BPE ('gpt2').")
    if fields.get("pre") not in WORDS:
        known = ", ".join(WORDS)
        raise BuildError(f"The GGUF pre-tokenizer {fields.get('pre')!r} is not supported; known are {known}.")
    words = WORDS[fields.get("pre")]
    tokens: list[str] = fields.get("tokens")
    has_bos = fields.get("add_bos_token", words.adds_bos)
    tokenizer = make_tokenizer(
        vocabulary={token: index for index, token in enumerate(tokens)},
        merges=[_pair(merge) for merge in fields.get("merges")],
        words=words,
        added=_added_tokens(tokens, fields.get("token_type")),
        bos=tokens[fields.get("bos_token_id")] if has_bos else None,
    )
    template = choose_template(fields.get("chat_template", None), tokenizer, fields.token_names(tokens))
    more_ends = (fields.get(key, None) for key in ("eot_token_id", "eom_token_id"))
    end_ids = [fields.get("eos_token_id"), *(index for index in more_ends if index is not None)]
    return _write(tokenizer, template, end_ids, folder)


def from_hugging_face(source: Path, folder: Path) -> TokenizerFacts:
    """Reads tokenizer.json and the configs beside it; raises BuildError unless it is byte-level BPE."""
    path = source / "tokenizer.json"
    if not path.is_file():
        raise BuildError(f"{source} has no tokenizer.json.")
    tokenizer = _load(path)
    check_byte_level(tokenizer, path)
    config = _read_json(source / "tokenizer_config.json")
    names = {key: _token_name(config[key]) for key in ("bos_token", "eos_token") if config.get(key)}
    ids = _hugging_face_end_ids(source)
    eos = tokenizer.token_to_id(names.get("eos_token", ""))
    if eos is not None and (eos in ids or not ids):
        ids = [eos, *ids]
    if not ids:
        raise BuildError(f"{source} names no end token (eos_token_id in generation_config.json).")
    template = choose_template(_hugging_face_template(source, config), tokenizer, names)
    return _write(tokenizer, template, ids, folder)


def from_tiktoken(path: Path, folder: Path) -> TokenizerFacts:
    """Reads Llama 3's tokenizer.model, the only one of this format; raises BuildError for another file."""
    ranks = _read_ranks(path)
    if len(ranks) != _LLAMA_3_NUM_WORDS:
        raise BuildError(f"{path} has {len(ranks)} tokens; Llama 3's has {_LLAMA_3_NUM_WORDS}.")
    spelling = byte_spelling()
    spelled = {token: "".join(spelling[byte] for byte in token) for token in ranks}
    tokenizer = make_tokenizer(
        vocabulary={spelled[token]: rank for token, rank in ranks.items()},
        merges=[(spelled[left], spelled[right]) for left, right in merges_of_ranks(ranks)],
        words=WORDS["llama-bpe"],
        added=[AddedToken(name, special=True, normalized=False) for name in _llama_3_control_tokens()],
        bos=_LLAMA_3_NAMES[0],
    )
    return _write(tokenizer, choose_template(None, tokenizer, {}), [_LLAMA_3_NUM_WORDS + 9], folder)


def _write(tokenizer: Tokenizer, template: str, end_ids: list[int], folder: Path) -> TokenizerFacts:
    folder.mkdir(parents=True, exist_ok=True)
    # Not by its own save, which raises a bare Exception when the disk is full.
    (folder / "tokenizer.json").write_text(tokenizer.to_str(pretty=True), encoding="utf-8")
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    _write_config(tokenizer.id_to_token(end_ids[0]), folder)
    special = {
        token.content: index for index, token in tokenizer.get_added_tokens_decoder().items() if token.special
    }
    known = [special[name] for name in _END_NAMES if name in special]
    before_text = tokenizer.encode("").ids
    return TokenizerFacts(
        vocab_size=max(tokenizer.get_vocab().values()) + 1,
        end_id=end_ids[0],
        stop_ids=tuple(sorted({*end_ids, *known} - {end_ids[0]})),
        special_ids=tuple(sorted(special.values())),
        bos_id=before_text[0] if before_text else None,
    )


def _write_config(end_token: str | None, folder: Path) -> None:
    """What transformers' AutoTokenizer needs to open the folder, by which the LLM API does.

    Its guides end where eos_token ends a text.
    """
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": end_token,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")


class _GgufFields:
    """The fields below tokenizer.ggml; chat_template lies one level higher."""

    def __init__(self, reader: gguf.GGUFReader) -> None:
        self._reader = reader

    def get(self, key: str, *default: Any) -> Any:
        name = "tokenizer.chat_template" if key == "chat_template" else f"tokenizer.ggml.{key}"
        field = self._reader.get_field(name)
        if field is not None:
            return field.contents()
        if not default:
            raise BuildError(f"The GGUF file lacks the field {name}.")
        return default[0]

    def token_names(self, tokens: Sequence[str]) -> dict[str, str]:
        """The tokens that templates call bos_token and eos_token."""
        ids = {key: self.get(f"{key}_id", None) for key in ("bos_token", "eos_token")}
        return {key: tokens[index] for key, index in ids.items() if index is not None}


def _pair(merge: str) -> tuple[str, str]:
    left, _, right = merge.partition(" ")
    return left, right


def _added_tokens(tokens: list[str], types: Iterable[int]) -> list[AddedToken]:
    return [
        AddedToken(token, special=kind == _CONTROL, normalized=False)
        for token, kind in zip(tokens, types, strict=True)
        if kind in (_CONTROL, _USER_DEFINED)
    ]


def _load(path: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exception for every kind of broken file
        raise BuildError(f"{path} is not a readable tokenizer: {error}.") from error


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise BuildError(f"{path} is not valid JSON: {error}.") from error
    if not isinstance(content, dict):
        raise BuildError(f"{path} is not a JSON object.")
    return content


def _token_name(token: str | Mapping[str, str]) -> str:
    return token if isinstance(token, str) else token["content"]


def _hugging_face_end_ids(source: Path) -> list[int]:
    for name in ("generation_config.json", "config.json"):
        ids = _read_json(source / name).get("eos_token_id")
        if ids is not None:
            return list(ids) if isinstance(ids, list) else [ids]
    return []


def _hugging_face_template(source: Path, config: Mapping[str, Any]) -> str | None:
    path = source / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    template = config.get("chat_template")
    if isinstance(template, list):
        return next((item["template"] for item in template if item["name"] == "default"), None)
    return template


def _read_ranks(path: Path) -> dict[bytes, int]:
    """Lines of a token in base64 and its rank."""
    try:
        lines = [line.split() for line in path.read_bytes().splitlines() if line]
        return {base64.b64decode(token, validate=True): int(rank) for token, rank in lines}
    except (ValueError, binascii.Error) as error:
        raise BuildError(f"{path} is not a tiktoken vocabulary.") from error


def _llama_3_control_tokens() -> list[str]:
    names = [_LLAMA_3_NAMES.get(index, "") for index in range(256)]
    reserved = (f"<|reserved_special_token_{number}|>" for number in range(256))
    return [name or next(reserved) for name in names]
