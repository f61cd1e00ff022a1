"""A Llama of two layers with random weights: as a Hugging Face folder, as GGUF, and as numpy arithmetic."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer

from build.checkpoint.byte_level_bpe import WORDS, byte_spelling, make_tokenizer

Tensors = dict[str, NDArray[np.float32]]
Round = Callable[[NDArray[np.float64]], NDArray[np.float64]]
CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TOKENS = (*CONTROL, *byte_spelling(), "he")
LLAMA3_SCALING = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


def tiny_config(**changes: Any) -> dict[str, Any]:
    """config.json of a grouped-query Llama; changes replace or add keys."""
    return {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_act": "silu",
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": len(TOKENS),
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
        "eos_token_id": 2,
    } | changes


def tiny_tensors(config: dict[str, Any]) -> Tensors:
    """Random weights that float16 and bfloat16 hold exactly."""
    random = np.random.default_rng(7)
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    keys = hidden // config["num_attention_heads"] * config["num_key_value_heads"]

    def matrix(rows: int, columns: int) -> NDArray[np.float32]:
        return np.asarray(random.integers(-96, 97, (rows, columns)) / 512, dtype=np.float32)

    def norm() -> NDArray[np.float32]:
        return np.asarray(random.integers(64, 129, hidden) / 64, dtype=np.float32)

    tensors = {"model.embed_tokens.weight": matrix(config["vocab_size"], hidden) * 4}
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        tensors[prefix + "input_layernorm.weight"] = norm()
        tensors[prefix + "post_attention_layernorm.weight"] = norm()
        for name, shape in {
            "self_attn.q_proj": (hidden, hidden),
            "self_attn.k_proj": (keys, hidden),
            "self_attn.v_proj": (keys, hidden),
            "self_attn.o_proj": (hidden, hidden),
            "mlp.gate_proj": (inner, hidden),
            "mlp.up_proj": (inner, hidden),
            "mlp.down_proj": (hidden, inner),
        }.items():
            tensors[f"{prefix}{name}.weight"] = matrix(*shape)
    tensors["model.norm.weight"] = norm()
    if not config["tie_word_embeddings"]:
        tensors["lm_head.weight"] = matrix(config["vocab_size"], hidden)
    return tensors


def tiny_tokenizer() -> Tokenizer:
    added = [AddedToken(name, special=True, normalized=False) for name in CONTROL]
    vocabulary = {token: index for index, token in enumerate(TOKENS)}
    return make_tokenizer(vocabulary, [("h", "e")], WORDS["smollm"], added, bos=None)


def write_hugging_face(folder: Path, config: dict[str, Any], kind: Any = ml_dtypes.bfloat16) -> Path:
    """A complete model folder, weights stored as `kind`."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file({k: v.astype(kind) for k, v in tiny_tensors(config).items()}, folder / "model.safetensors")
    tiny_tokenizer().save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|im_end|>"}))
    return folder


_GGUF_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "model.layers.": "blk.",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_gguf(
    path: Path,
    config: dict[str, Any],
    fields: dict[str, Any] | None = None,
    endianess: gguf.GGUFEndian = gguf.GGUFEndian.LITTLE,
) -> Path:
    """The same model as llama.cpp's converter lays it out; `fields` adds or replaces fields."""
    architecture = (fields or {}).get("general.architecture", "llama")
    writer = gguf.GGUFWriter(path, architecture, endianess=endianess)
    heads, keys = config["num_attention_heads"], config["num_key_value_heads"]
    numbers = {
        "llama.block_count": config["num_hidden_layers"],
        "llama.context_length": config["max_position_embeddings"],
        "llama.embedding_length": config["hidden_size"],
        "llama.feed_forward_length": config["intermediate_size"],
        "llama.attention.head_count": heads,
        "llama.attention.head_count_kv": keys,
        "llama.attention.layer_norm_rms_epsilon": config["rms_norm_eps"],
        "llama.rope.freq_base": config["rope_theta"],
    } | (fields or {})
    for key, value in numbers.items():
        _add_field(writer, key, value)
    _add_tokenizer(writer)
    for name, tensor in tiny_tensors(config).items():
        rows = {"q_proj": heads, "k_proj": keys}.get(name.split(".")[-2])
        writer.add_tensor(_gguf_name(name), tensor if rows is None else _interleave(tensor, rows))
    if "rope_scaling" in config:
        plain = rope_frequencies(config | {"rope_scaling": None})
        writer.add_tensor("rope_freqs.weight", (plain / rope_frequencies(config)).astype(np.float32))
    for write in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        write()
    writer.close()
    return path


def _add_field(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, str):
        if key != "general.architecture":
            writer.add_string(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    else:
        writer.add_uint32(key, value)


def _add_tokenizer(writer: gguf.GGUFWriter) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(list(TOKENS))
    writer.add_token_types([3 if token in CONTROL else 1 for token in TOKENS])
    writer.add_token_merges(["h e"])
    writer.add_eos_token_id(2)


def _gguf_name(name: str) -> str:
    for hugging_face, short in _GGUF_NAMES.items():
        name = name.replace(hugging_face, short)
    return name


def _interleave(rows: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Row i of a head's first half, then row i of its second half."""
    size = len(rows) // heads
    order = [
        h * size + half * (size // 2) + i for h in range(heads) for i in range(size // 2) for half in (0, 1)
    ]
    return np.ascontiguousarray(rows[order])


def rope_frequencies(config: dict[str, Any]) -> NDArray[np.float64]:
    """One frequency at a time, as Meta's reference code states the rule."""
    size = config["hidden_size"] // config["num_attention_heads"]
    plain = [config["rope_theta"] ** (-2 * i / size) for i in range(size // 2)]
    scaling = config.get("rope_scaling") or {"rope_type": "default"}
    if scaling["rope_type"] == "default":
        return np.array(plain)
    if scaling["rope_type"] == "linear":
        return np.array([frequency / scaling["factor"] for frequency in plain])
    return np.array([_llama3_frequency(frequency, scaling) for frequency in plain])


def _llama3_frequency(frequency: float, scaling: dict[str, Any]) -> float:
    context, low, high = (
        scaling[key] for key in ("original_max_position_embeddings", "low_freq_factor", "high_freq_factor")
    )
    wavelength = 2 * np.pi / frequency
    if wavelength < context / high:
        return frequency
    if wavelength > context / low:
        return float(frequency / scaling["factor"])
    smooth = (context / wavelength - low) / (high - low)
    return float((1 - smooth) * frequency / scaling["factor"] + smooth * frequency)


def _exactly(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values


@dataclass(frozen=True)
class Rounding:
    """What an engine rounds: rows before a matrix, and a head's query, key and value."""

    rows: Round = _exactly
    heads: Round = _exactly


def reference_logits(
    config: dict[str, Any], tensors: Tensors, ids: list[int], rounding: Rounding | None = None
) -> NDArray[np.float64]:
    """Logits [tokens, vocabulary] in double precision, rotating by complex numbers."""
    rounding = rounding or Rounding()
    weights = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}
    epsilon = config["rms_norm_eps"]

    def norm(x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        scale = np.sqrt((x * x).mean(-1, keepdims=True) + epsilon)
        return rounding.rows(np.asarray(x / scale * weights[f"{name}.weight"]))

    x = weights["model.embed_tokens.weight"][ids]
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        x = x + _attend(config, weights, prefix + "self_attn.", norm(x, prefix + "input_layernorm"), rounding)
        y = norm(x, prefix + "post_attention_layernorm")
        gate = y @ weights[prefix + "mlp.gate_proj.weight"].T
        up = y @ weights[prefix + "mlp.up_proj.weight"].T
        inner = rounding.rows(gate / (1 + np.exp(-gate)) * up)
        x = x + inner @ weights[prefix + "mlp.down_proj.weight"].T
    output = weights.get("lm_head.weight", weights["model.embed_tokens.weight"])
    return np.asarray(norm(x, "model.norm") @ output.T)


def _attend(
    config: dict[str, Any],
    weights: dict[str, NDArray[np.float64]],
    prefix: str,
    x: NDArray[np.float64],
    rounding: Rounding,
) -> NDArray[np.float64]:
    count, groups = len(x), config["num_key_value_heads"]
    heads = config["num_attention_heads"]
    turns = np.exp(1j * np.outer(np.arange(count), rope_frequencies(config)))

    def project(name: str, number: int) -> NDArray[np.float64]:
        return (x @ weights[f"{prefix}{name}.weight"].T).reshape(count, number, -1)

    def rotate(values: NDArray[np.float64]) -> NDArray[np.float64]:
        first, second = np.split(values, 2, axis=-1)
        turned = (first + 1j * second) * turns[:, None, :]
        return rounding.heads(np.concatenate([turned.real, turned.imag], axis=-1))

    queries, keys = rotate(project("q_proj", heads)), rotate(project("k_proj", groups))
    values = rounding.heads(project("v_proj", groups))
    future = np.triu(np.full((count, count), -np.inf), 1)
    mixed = []
    for head in range(heads):
        group = head // (heads // groups)
        scores = queries[:, head] @ keys[:, group].T / np.sqrt(queries.shape[-1]) + future
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        mixed.append(shares / shares.sum(-1, keepdims=True) @ values[:, group])
    joined = rounding.rows(np.concatenate(mixed, axis=-1))
    return np.asarray(joined @ weights[prefix + "o_proj.weight"].T)
