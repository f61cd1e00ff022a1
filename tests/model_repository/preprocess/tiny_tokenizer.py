"""A byte-level tokenizer of a few hundred tokens in ChatML's manner, which puts nothing before a text."""

from pathlib import Path

from tokenizers import AddedToken

from build.checkpoint.byte_level_bpe import WORDS, byte_spelling, make_tokenizer

CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
END_ID = 2
TEMPLATE = (
    "{%- for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{%- endfor %}{{ '<|im_start|>assistant\n' if add_generation_prompt else '' }}"
)


def write_tiny_engine(engine_dir: Path, template: str = TEMPLATE) -> Path:
    """An engine folder with nothing but the tokenizer in it."""
    merges = [("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o"), ("Ġ", "hello"), ("a", "a"), ("aa", "aa")]
    pieces = [*CONTROL, *byte_spelling(), *(left + right for left, right in merges)]
    tokenizer = make_tokenizer(
        vocabulary={piece: index for index, piece in enumerate(pieces)},
        merges=merges,
        words=WORDS["smollm"],
        added=[AddedToken(name, special=True, normalized=False) for name in CONTROL],
        bos=None,
    )
    folder = engine_dir / "tokenizer"
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return engine_dir
