"""An engine folder as trtllm-build leaves it, with empty engines.

Spellings: "older" is upstream's dataclass BuildConfig (builder.py at 008b2b8d, whose ConfigEncoder writes the
enumeration's name, as in the config.json of published engines). "newer" is the pydantic BuildConfig of pull
request 8330, whose KVCacheType is Python's own with lower-case values (llmapi/kv_cache_type.py at 18836202).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NEWER, OLDER = "newer", "older"
# What only one of the two has beside the keys of both.
_BUILD: Mapping[str, dict[str, Any]] = {
    NEWER: {"kv_cache_type": "paged", "speculative_decoding_mode": 1, "use_mrope": False},
    OLDER: {
        "kv_cache_type": "PAGED",
        "speculative_decoding_mode": 1,
        "builder_opt": None,
        "auto_parallel_config": {"world_size": 1, "gpus_per_node": 8, "cluster_key": "H100-SXM"},
    },
}


def build_config(spelling: str, plugins: Mapping[str, Any], **values: Any) -> dict[str, Any]:
    """The section build_config in one of the spellings."""
    return {
        "opt_batch_size": 8,
        "opt_num_tokens": None,
        "max_prompt_embedding_table_size": 0,
        "gather_context_logits": False,
        "gather_generation_logits": False,
        "strongly_typed": True,
        "profiling_verbosity": "layer_names_only",
        "output_timing_cache": "model.cache",
        "lora_config": {"lora_dir": [], "lora_ckpt_source": "hf", "max_lora_rank": 64},
        "plugin_config": {"dtype": "bfloat16", "lora_plugin": None, "paged_kv_cache": True, **plugins},
        **_BUILD[spelling],
        **values,
    }


def engine_config(tp: int = 1, pp: int = 1, spelling: str = NEWER, **build: Any) -> dict[str, Any]:
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
        "build_config": build_config(
            spelling,
            {"use_paged_context_fmha": True, "tokens_per_block": 32},
            max_input_len=1024,
            max_seq_len=8192,
            max_batch_size=256,
            max_beam_width=1,
            max_num_tokens=4096,
        )
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
