"""An engine folder as trtllm-build 1.2.1 leaves it, with empty engines."""

import json
from pathlib import Path
from typing import Any


def engine_config(tp: int = 1, pp: int = 1, **build: Any) -> dict[str, Any]:
    """config.json of a Llama 3.1 8B engine; `build` replaces values of build_config."""
    return {
        "version": "1.2.1",
        "pretrained_config": {
            "architecture": "LlamaForCausalLM",
            "dtype": "bfloat16",
            "logits_dtype": "float32",
            "vocab_size": 128256,
            "hidden_size": 4096,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "max_position_embeddings": 131072,
            "mapping": {
                "world_size": tp * pp,
                "gpus_per_node": 8,
                "cp_size": 1,
                "tp_size": tp,
                "pp_size": pp,
            },
            "quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"},
        },
        "build_config": {
            "max_input_len": 1024,
            "max_seq_len": 8192,
            "max_batch_size": 256,
            "max_beam_width": 1,
            "max_num_tokens": 4096,
            "kv_cache_type": "PAGED",
            "gather_context_logits": False,
            "gather_generation_logits": False,
            "lora_config": {"lora_dir": [], "max_lora_rank": 64},
            "plugin_config": {
                "lora_plugin": None,
                "paged_kv_cache": True,
                "use_paged_context_fmha": True,
                "tokens_per_block": 32,
            },
        }
        | build,
    }


def write_compiled_engine(folder: Path, config: dict[str, Any] | None = None) -> Path:
    """Writes config.json and one file a rank; returns the folder."""
    config = config or engine_config()
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    for rank in range(config["pretrained_config"].get("mapping", {"world_size": 1})["world_size"]):
        (folder / f"rank{rank}.engine").touch()
    return folder
