"""What a stand-in of a build tool runs, in a process of its own."""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tomli

from build.gpus import NVIDIA_SMI
from tests.build.compiled_engine import NEWER, build_config

RECORD = Path(__file__).parents[3] / "build" / "tensorrt_llm" / "flags.toml"
_TYPES: dict[str, Callable[[str], Any]] = {"str": str, "int": int, "float": float}
_SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "vocab_size")
_LIMITS = ("max_batch_size", "max_input_len", "max_seq_len", "max_beam_width", "max_num_tokens")
# What the two writers of a checkpoint's config.json say differently. convert_checkpoint.py: the keys of
# PretrainedConfig (tensorrt_llm/models/modeling_utils.py), as in the config.json of published engines.
# quantize.py: ModelOpt's convert_to_tensorrt_llm_config (modelopt/torch/export/tensorrt_llm_utils.py), which
# writes logits in FP16.
_BY_TOOL: dict[str, dict[str, Any]] = {
    "convert_checkpoint": {
        "logits_dtype": "float32",
        "hidden_act": "silu",
        "position_embedding_type": "rope_gpt_neox",
        "quantization": {"quant_algo": None, "kv_cache_quant_algo": None, "group_size": 128},
    },
    "quantize": {
        "producer": {"name": "modelopt", "version": "0.37.0"},
        "logits_dtype": "float16",
        "use_parallel_embedding": True,
        "embedding_sharding_dim": 0,
        "quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"},
    },
}
# What trtllm-build adds to a mapping that has not all of it (tensorrt_llm/mapping.py).
_MAPPING = {"gpus_per_node": 8, "cp_size": 1, "moe_tp_size": 1, "moe_ep_size": 1}


def upstream_parser(tool: str) -> argparse.ArgumentParser:
    """The argument parser that the record describes."""
    parser = argparse.ArgumentParser(prog=tool, allow_abbrev=False)
    for name, flag in tomli.loads(RECORD.read_text())[tool].items():
        if flag["type"] == "flag":
            parser.add_argument(f"--{name}", action="store_true")
            continue
        parser.add_argument(
            f"--{name}",
            type=_TYPES[flag["type"]],
            default=flag.get("default"),
            choices=flag.get("choices"),
            required=flag.get("required", False),
            nargs="+" if flag.get("many") else None,
        )
    return parser


def main(tool: str, folder: str, arguments: list[str]) -> int:
    home = Path(folder)
    if arguments == ["--help"]:
        return _help(home, tool)
    with (home / "calls.jsonl").open("a") as calls:
        calls.write(json.dumps([tool, *arguments]) + "\n")
    failing = home / "failing"
    if failing.exists() and failing.read_text() == tool:
        lines = [*(f"line {number}" for number in range(40)), "RuntimeError: out of luck"]
        sys.stdout.write("\n".join(lines) + "\n")
        return 3
    return _PROGRAMS[tool](home, arguments)


def _help(home: Path, tool: str) -> int:
    """As argparse prints it; without the flags in the file lost-flags."""
    lost = (home / "lost-flags").read_text().split() if (home / "lost-flags").exists() else []
    text = upstream_parser(tool).format_help()
    for flag in lost:
        text = text.replace(flag, "")
    sys.stdout.write(text)
    return 0


def _checkpoint(tool: str) -> Callable[[Path, list[str]], int]:
    def run(_: Path, arguments: list[str]) -> int:
        given = upstream_parser(tool).parse_args(arguments)
        model = json.loads((Path(given.model_dir) / "config.json").read_text())
        world = given.tp_size * given.pp_size
        config = {
            "architecture": model["architectures"][0],
            "dtype": given.dtype.replace("auto", model["torch_dtype"]),
            **{name: model[name] for name in _SIZES},
            "mapping": {"world_size": world, "tp_size": given.tp_size, "pp_size": given.pp_size},
            **_BY_TOOL[tool],
        }
        output = _folder(given.output_dir)
        (output / "config.json").write_text(json.dumps(config))
        for rank in range(world):
            (output / f"rank{rank}.safetensors").write_bytes(b"weights")
        return 0

    return run


def _build(home: Path, arguments: list[str]) -> int:
    given = vars(upstream_parser("build").parse_args(arguments))
    model = json.loads((Path(given["checkpoint_dir"]) / "config.json").read_text())
    model["mapping"] = _MAPPING | model["mapping"]
    if given["logits_dtype"]:
        model["logits_dtype"] = given["logits_dtype"]
    output = _folder(given["output_dir"])
    Path(given["output_timing_cache"]).write_bytes(b"timings")
    words = {"enable": True, "disable": None}
    plugins = {
        name: words.get(str(value), value)
        for name, value in given.items()
        if name.endswith("_plugin") or str(value) in words or name == "tokens_per_block"
    }
    values = {name: given[name] for name in (*_LIMITS, "gather_context_logits", "gather_generation_logits")}
    spelling = (home / "spelling").read_text() if (home / "spelling").exists() else NEWER
    build = build_config(spelling, plugins, **values)
    config = {"version": "1.2.1", "pretrained_config": model, "build_config": build}
    (output / "config.json").write_text(json.dumps(config))
    for rank in range(model["mapping"]["world_size"]):
        (output / f"rank{rank}.engine").write_bytes(b"engine")
    return 0


def _tokenizer_info(_: Path, arguments: list[str]) -> int:
    given = upstream_parser("generate_xgrammar_tokenizer_info").parse_args(arguments)
    assert (Path(given.model_dir) / "tokenizer.json").is_file()
    info = {"encoded_vocab": ["a"], "tokenizer_str": "{}", "stop_token_ids": [2]}
    (_folder(given.output_dir) / "xgrammar_tokenizer_info.json").write_text(json.dumps(info))
    return 0


def _adapter(_: Path, arguments: list[str]) -> int:
    import numpy as np  # the others do without, and start sooner

    given = vars(upstream_parser("hf_lora_convert").parse_args(arguments))
    assert (Path(given["in_file"]) / "adapter_config.json").is_file()
    output = _folder(given["out_dir"])
    np.save(output / "model.lora_weights.npy", np.zeros((1, 2, 64), given["storage_type"]))
    # module, layer, rank, is_dora: as upstream writes since it knows DoRA.
    np.save(output / "model.lora_config.npy", np.array([[[1, 0, 8, 0], [3, 0, 8, 0]]], np.int32))
    return 0


def _nvidia_smi(home: Path, arguments: list[str]) -> int:
    if arguments == ["nvlink", "--status"]:
        sys.stdout.write("GPU 0: NVIDIA H100 80GB HBM3\n\t Link 0: 26.562 GB/s\n")
        return 0
    assert arguments == list(NVIDIA_SMI[1:])
    sys.stdout.write((home / "gpus").read_text())
    return 0


def _docker(home: Path, arguments: list[str]) -> int:
    if arguments[0] == "run":
        return _docker_run(home, arguments[1:])
    if arguments[:2] == ["image", "inspect"]:
        return 0 if (home / "pulled").exists() else 1
    if arguments[0] == "pull":
        (home / "pulled").write_text(arguments[1])
        return 0
    return 0 if arguments == ["version", "--format={{.Server.Version}}"] else 125


def _docker_run(home: Path, arguments: list[str]) -> int:
    """Runs the words behind the image as the image would: with its own PATH, and what is mounted alone."""
    given = _docker_parser().parse_args(arguments)
    assert (home / "pulled").read_text() == given.image
    mounts = [volume.split(":")[0] for volume in given.volume]
    assert all(Path(mount).is_dir() for mount in mounts), mounts
    examples = str(home / "examples")
    words = [word.replace("/app/examples", examples) for word in given.words]
    for word in words[1:]:
        known = not word.startswith("/") or any(Path(word).is_relative_to(m) for m in (examples, *mounts))
        assert known, (word, mounts)
    pairs = (item.partition("=") for item in given.env)
    variables = {name: value if equals else os.environ[name] for name, equals, value in pairs}
    variables["PATH"] = f"{home}/inside:/usr/bin:/bin"
    program = shutil.which(words[0], path=variables["PATH"])
    assert program is not None, words
    return subprocess.run([program, *words[1:]], env=variables, cwd=given.workdir, check=False).returncode


def _docker_parser() -> argparse.ArgumentParser:
    """Options as `docker run --help` has them."""
    parser = argparse.ArgumentParser(prog="docker run", allow_abbrev=False)
    for name in ("rm", "init"):
        parser.add_argument(f"--{name}", action="store_true", required=True)
    for name in ("name", "gpus", "shm-size", "user", "workdir"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("ulimit", "env", "volume"):
        parser.add_argument(f"--{name}", action="append", default=[])
    parser.add_argument("image")
    parser.add_argument("words", nargs=argparse.REMAINDER)
    return parser


def _folder(path: str) -> Path:
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


_PROGRAMS: dict[str, Callable[[Path, list[str]], int]] = {
    "convert_checkpoint": _checkpoint("convert_checkpoint"),
    "quantize": _checkpoint("quantize"),
    "build": _build,
    "generate_xgrammar_tokenizer_info": _tokenizer_info,
    "hf_lora_convert": _adapter,
    "nvidia-smi": _nvidia_smi,
    "docker": _docker,
}
