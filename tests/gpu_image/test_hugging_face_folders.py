"""What a Hugging Face folder says of its tokenizer means here what it means to transformers."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from chat_template import ChatTemplate
from tokenizers import AddedToken, Tokenizer

from build.checkpoint.byte_level_bpe import WORDS, byte_spelling, make_tokenizer
from build.checkpoint.tokenizer import from_hugging_face
from tests.gpu_image.conftest import InImage

NAMES = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
OPEN = """
import json, sys
from transformers import AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained({folder!r})
special = sorted(index for index, token in tokenizer.added_tokens_decoder.items() if token.special)
chat = [{{"role": "user", "content": "Hi"}}, {{"role": "assistant", "content": "Yes"}}]
print(json.dumps([tokenizer.eos_token_id, special, tokenizer.encode({text!r}),
    tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)]))
"""
TEXT = "Hello, wörld! \n 1234"
TEMPLATE = (
    "{{ bos_token }}{{ pad_token }}{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}"
    "{{ m.content }}{{ eos_token }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}"
    "{{ unk_token }}{{ documents is none }}{{ {'b': 1, 'a': '<'} | tojson(indent=1) }}"
)
DECODER = {str(i): {"content": name, "special": True} for i, name in enumerate(NAMES)}
# LlamaTokenizer's own default is a token that no such folder has.
LLAMA = {"tokenizer_class": "LlamaTokenizer", "unk_token": "<|endoftext|>"}
ENDS = {"eos_token": "<|im_end|>", "bos_token": "<|im_start|>"}


def tokenizer_of(added: list[AddedToken]) -> Tokenizer:
    vocabulary = {token: index for index, token in enumerate((*NAMES, *byte_spelling(), "he"))}
    return make_tokenizer(vocabulary, [("h", "e")], WORDS["smollm"], added, bos=None)


PLAIN = [AddedToken(name, special=False, normalized=False) for name in NAMES]
SPECIAL = [AddedToken(name, special=True, normalized=False) for name in NAMES]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("added", "config", "special_map"),
    [
        (SPECIAL, ENDS, {}),
        ([], ENDS | {"pad_token": "<|endoftext|>"}, {}),
        ([], ENDS | {"added_tokens_decoder": DECODER}, {}),
        ([], {}, ENDS | {"unk_token": {"content": "<|endoftext|>"}}),
        (SPECIAL, {"eos_token": "<|endoftext|>"}, ENDS),
        ([], ENDS | {"additional_special_tokens": ["<|endoftext|>"]}, {}),
        (SPECIAL, ENDS | {"add_bos_token": True}, {}),
        (SPECIAL, ENDS | LLAMA, {}),
        (SPECIAL, ENDS | LLAMA | {"add_bos_token": False}, {}),
    ],
)
def test_a_folder_is_read_as_transformers_reads_it(
    added: list[AddedToken],
    config: dict[str, Any],
    special_map: dict[str, Any],
    tmp_path: Path,
    in_image: InImage,
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    tokenizer_of(added).save(str(source / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": TEMPLATE} | config
    (source / "tokenizer_config.json").write_text(json.dumps(config))
    (source / "special_tokens_map.json").write_text(json.dumps(special_map))
    end_id, special, ids, chat = json.loads(in_image(OPEN.format(folder=str(source), text=TEXT)))
    facts = from_hugging_face(source, tmp_path / "tokenizer")
    assert (facts.end_id, list(facts.special_ids)) == (end_id, special)
    ours = Tokenizer.from_file(str(tmp_path / "tokenizer" / "tokenizer.json"))
    assert ours.encode(TEXT).ids == ids
    template = (tmp_path / "tokenizer" / "chat_template.jinja").read_text("utf-8")
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]
    rendered = ChatTemplate(template, datetime.now).render(messages, None, add_generation_prompt=True)
    assert rendered == chat
