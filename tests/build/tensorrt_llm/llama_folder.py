"""A Hugging Face folder that says it is Llama 3.1 8B, with few weights: nothing here reads them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from tests.build.tiny_llama import tiny_tokenizer

INDEX = "model.safetensors.index.json"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def llama_config(**changes: Any) -> dict[str, Any]:
    """config.json of Llama 3.1 8B; changes replace or add keys."""
    return {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_act": "silu",
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0,
        "rope_scaling": {"rope_type": "llama3", "factor": 8.0},
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "eos_token_id": 2,
    } | changes


def write_llama(folder: Path, **changes: Any) -> Path:
    """Two shards and their index, tokenizer and configs."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(llama_config(**changes)))
    for shard in SHARDS:
        save_file({shard: np.zeros((4, 4), np.float16)}, folder / shard)
    (folder / INDEX).write_text(json.dumps({"weight_map": {shard: shard for shard in SHARDS}}))
    tiny_tokenizer().save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|im_end|>"}))
    return folder


def write_adapter(folder: Path, *modules: str, rank: int = 8) -> Path:
    """A LoRA adapter of these modules ("self_attn.q_proj") in the first layer."""
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps({"r": rank, "lora_alpha": 16}))
    tensors = {}
    for module in modules:
        name = f"base_model.model.model.layers.0.{module}.lora_"
        tensors[f"{name}A.weight"] = np.zeros((rank, 64), np.float16)
        tensors[f"{name}B.weight"] = np.zeros((64, rank), np.float16)
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder
