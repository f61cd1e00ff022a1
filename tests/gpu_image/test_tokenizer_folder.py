"""An engine's tokenizer folder is one that transformers opens, as TensorRT-LLM's LLM API has it opened."""

import json
from pathlib import Path

from tokenizers import Tokenizer

from build.checkpoint.tokenizer import from_hugging_face
from tests.build.tiny_llama import tiny_config, write_hugging_face
from tests.gpu_image.conftest import InImage

# tokenizer_factory of tensorrt_llm/tokenizer/tokenizer.py at 08ed3ebc, and what its xgrammar table is of.
OPEN = """
import json, sys
from transformers import AutoTokenizer, PreTrainedTokenizerFast
tokenizer = AutoTokenizer.from_pretrained({folder!r}, legacy=False, padding_side="left",
    truncation_side="left", trust_remote_code=True, use_fast=True)
assert isinstance(tokenizer, PreTrainedTokenizerFast)
chat = [{{"role": "user", "content": "Hi"}}]
print(json.dumps([tokenizer.eos_token_id, tokenizer.encode({text!r}, add_special_tokens=False),
    len(tokenizer.get_vocab()), tokenizer.apply_chat_template(chat, tokenize=False)]))
"""
TEXT = "Hello, wörld!  1234 <|im_end|>"


def test_the_folder_opens_with_the_same_ids_end_and_template(tmp_path: Path, in_image: InImage) -> None:
    source = write_hugging_face(tmp_path / "source", tiny_config())
    (source / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    facts = from_hugging_face(source, tmp_path / "tokenizer")
    opened = in_image(OPEN.format(folder=str(tmp_path / "tokenizer"), text=TEXT))
    end_id, ids, size, chat = json.loads(opened)
    ours = Tokenizer.from_file(str(tmp_path / "tokenizer" / "tokenizer.json"))
    assert end_id == facts.end_id
    assert ids == ours.encode(TEXT, add_special_tokens=False).ids
    assert size == ours.get_vocab_size()
    assert "Hi" in chat
