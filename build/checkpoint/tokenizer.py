"""Turns the tokenizer and the chat template of a Hugging Face folder into an engine's tokenizer folder."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, processors

from build.checkpoint.byte_level_bpe import check_byte_level, looks_special
from build.checkpoint.source import read_object
from build.checkpoint.template import choose_template, serving_module
from build.errors import BuildError

# Control tokens by which models of Llama architecture end a turn or a text; llama-vocab.cpp has such a list.
_END_NAMES = (
    *("<|im_end|>", "<|endoftext|>", "<|end_of_text|>", "<|eom_id|>", "<|eot_id|>", "</s>"),
    *("<|end|>", "<end_of_turn>", "<end_of_utterance>", "<｜end▁of▁sentence｜>"),
)

# What transformers passes to templates by these names.
_NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


@dataclass(frozen=True)
class TokenizerFacts:
    """What the models' parameters need."""

    vocab_size: int
    end_id: int
    stop_ids: tuple[int, ...]
    special_ids: tuple[int, ...]


def from_hugging_face(source: Path, folder: Path) -> TokenizerFacts:
    """Reads tokenizer.json and the configs beside it; raises BuildError unless it is byte-level BPE."""
    path = source / "tokenizer.json"
    if not path.is_file():
        raise BuildError(f"{source} has no tokenizer.json.")
    config = _read_config(source)
    names = {key: name for key in _NAMED if (name := _token_name(config.get(key))) is not None}
    tokenizer = _load(path, config)
    ids = _end_ids(source)
    eos = tokenizer.token_to_id(names.get("eos_token", ""))
    if eos is not None:
        # Either ends a text. The tokenizer's comes first only where the model's list has it, or is none.
        ids = [eos, *ids] if eos in ids or not ids else [*ids, eos]
    template = choose_template(_template(source, config), tokenizer, names)
    return write_folder(tokenizer, template, ids, folder)


def write_folder(tokenizer: Tokenizer, template: str, end_ids: list[int], folder: Path) -> TokenizerFacts:
    """Writes what preprocess, postprocess and guides open; raises BuildError for what can't be served."""
    check_byte_level(tokenizer)
    if not end_ids:
        raise BuildError("The model names no end token (eos_token_id in generation_config.json).")
    for index in end_ids:
        if type(index) is not int or index < 0 or tokenizer.id_to_token(index) is None:
            raise BuildError(f"The model's end token {json.dumps(index)} is no id of its tokenizer.")
    folder.mkdir(parents=True, exist_ok=True)
    # Not by its own save, which raises a bare Exception when the disk is full.
    (folder / "tokenizer.json").write_text(tokenizer.to_str(pretty=True), encoding="utf-8")
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    try:
        serving_module("preprocess", "prompt_tokenizer").PromptTokenizer(folder / "tokenizer.json")
    except ValueError as error:
        raise BuildError(str(error)) from error
    _write_config(tokenizer.id_to_token(end_ids[0]), folder)
    special = {
        token.content: index for index, token in tokenizer.get_added_tokens_decoder().items() if token.special
    }
    known = [special[name] for name in _END_NAMES if name in special]
    return TokenizerFacts(
        vocab_size=max(tokenizer.get_vocab().values()) + 1,
        end_id=end_ids[0],
        stop_ids=tuple(sorted({*end_ids, *known} - {end_ids[0]})),
        special_ids=tuple(sorted(special.values())),
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


def _load(path: Path, config: Mapping[str, Any]) -> Tokenizer:
    """As transformers loads it, but for what would cut, fill up or vary a prompt."""
    try:
        tokenizer = Tokenizer.from_file(str(path))
        declared = [AddedToken(**token) for token in config.get("added_tokens_decoder", {}).values()]
        tokenizer.add_tokens(declared)
        special = {token.content for token in declared if token.special}
        special |= {name for name in _special_names(config) if _is_no_word(name, tokenizer)}
        tokenizer.add_tokens([AddedToken(name, special=True, normalized=False) for name in sorted(special)])
        state = json.loads(tokenizer.to_str())
        for token in state["added_tokens"]:
            name = token["content"]
            token["special"] = token["special"] or name in special or looks_special(name)
        state |= {"truncation": None, "padding": None}
        state["model"] |= {"dropout": None, "unk_token": None}
        if state["normalizer"] == {"type": "Sequence", "normalizers": []}:
            state["normalizer"] = None
        tokenizer = Tokenizer.from_str(json.dumps(state))
    except Exception as error:  # the library raises plain Exception for every kind of broken file
        raise BuildError(f"{path} is not a readable tokenizer: {error}.") from error
    _set_first_token(tokenizer, config)
    return tokenizer


def _special_names(config: Mapping[str, Any]) -> list[str]:
    values = [*(config.get(key) for key in _NAMED), *(config.get("additional_special_tokens") or ())]
    return [name for value in values if (name := _token_name(value)) is not None]


def _is_no_word(name: str, tokenizer: Tokenizer) -> bool:
    """A known token that plain text doesn't become: some models pad with "!"."""
    index = tokenizer.token_to_id(name)
    is_added = index in tokenizer.get_added_tokens_decoder()
    return index is not None and (is_added or tokenizer.encode(name, add_special_tokens=False).ids != [index])


def _set_first_token(tokenizer: Tokenizer, config: Mapping[str, Any]) -> None:
    """What transformers' LlamaTokenizer puts before a text is told by the config, not by tokenizer.json."""
    if not str(config.get("tokenizer_class")).startswith("LlamaTokenizer"):
        return
    bos = _token_name(config.get("bos_token"))
    index = tokenizer.token_to_id(bos or "")
    if not config.get("add_bos_token", True):
        tokenizer.post_processor = processors.ByteLevel()
    elif index is not None:
        tokenizer.post_processor = processors.TemplateProcessing(f"{bos} $A", special_tokens=[(bos, index)])


def _token_name(token: object) -> str | None:
    """Of a token as transformers writes it: its name, or an object with that."""
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else None


def _read_config(source: Path) -> dict[str, Any]:
    """Older folders have the special tokens in a file of their own (transformers' _from_pretrained)."""
    files = [source / name for name in ("tokenizer_config.json", "special_tokens_map.json")]
    config, special = (read_object(path) if path.is_file() else {} for path in files)
    if "added_tokens_decoder" not in config:
        config |= special
    if config.get("add_prefix_space"):
        raise BuildError(f"{source}: add_prefix_space changes texts, which is not supported.")
    return config


def _end_ids(source: Path) -> list[Any]:
    for path in (source / "generation_config.json", source / "config.json"):
        ids = read_object(path).get("eos_token_id") if path.is_file() else None
        if ids is not None:
            return list(ids) if isinstance(ids, list) else [ids]
    return []


def _template(source: Path, config: Mapping[str, Any]) -> str | None:
    path = source / "chat_template.jinja"
    template = config.get("chat_template")
    try:
        if path.is_file():
            return path.read_text(encoding="utf-8")
        if isinstance(template, list):
            template = {item["name"]: item["template"] for item in template}.get("default")
    except (ValueError, KeyError, TypeError) as error:
        raise BuildError(f"{source}: its chat template can't be read: {error!r}.") from error
    if not isinstance(template, str | None):
        raise BuildError(f"{source}: its chat template is no text.")
    return template
