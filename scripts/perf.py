"""`make perf`: perf_analyzer against the running server, at Triton's gRPC port and at the OpenAI API."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from build import debian_packages
from build.errors import Failure, run
from build.locked_wheels import fetched
from build.paths import CACHE
from serving import ports
from serving import settings as serve_settings
from serving.health import ENSEMBLE, TritonHealth, frontend_answers
from serving.process import Process
from serving.settings import ServeSettings, without_keys
from serving.supervisor import Supervisor

PROMPTS = Path(__file__).with_name("perf_prompts.json")
LOCK = Path(__file__).with_name("perf_analyzer.txt")
INPUTS = CACHE / "perf"
MAX_TOKENS = 64
# Each concurrent client sends about this many requests.
NUM_ROUNDS = 8
ENDPOINT = "v1/chat/completions"
# What perf_analyzer is linked to; it needs glibc 2.38 and GLIBCXX_3.4.32.
PACKAGES = ("libc6", "libstdc++6", "libgcc-s1", "libssl3t64", "zlib1g")
LIBRARIES = "usr/lib/x86_64-linux-gnu"
BINARY = "perf_analyzer/bin/perf_analyzer"


def main() -> int:
    """Prints perf_analyzer's tables."""
    serve_settings.complete(os.environ)
    settings = serve_settings.read(os.environ)
    load = load_options(os.environ.get("CONCURRENCY") or "8")
    triton = TritonHealth(settings.grpc_address)
    if not (triton.is_ready() and frontend_answers(settings.url, "/health/ready")):
        raise Failure(
            f"no server answers at {settings.url} and {settings.grpc_address}; start it with: make serve"
        )
    analyzer = analyzer_command()
    prompts = json.loads(PROMPTS.read_text())
    print(f"\nTriton at {settings.grpc_address}, gRPC streaming", flush=True)
    _run([*analyzer, *grpc_options(settings, _write("grpc.json", grpc_inputs(prompts))), *load])
    model = triton.served_model_name()
    inputs = _write("openai.json", openai_inputs(prompts, model))
    with open_frontend(settings) as url:
        print(f"\nfrontend at {url}/{ENDPOINT}, streaming", flush=True)
        _run([*analyzer, *openai_options(url, model, inputs), *load])
    return 0


def analyzer_command() -> list[str]:
    """What starts perf_analyzer, which is fetched first if it is not there."""
    # The platform is named because uv would refuse the wheel on an older glibc.
    options = ["--python-platform", "x86_64-manylinux_2_38"]
    folder = fetched("perf_analyzer", LOCK, options, _add_libraries)
    libraries = folder / LIBRARIES
    if not libraries.exists():
        return [str(folder / BINARY)]
    loader = str(libraries / "ld-linux-x86-64.so.2")
    return [loader, "--library-path", str(libraries), str(folder / BINARY)]


def _add_libraries(folder: Path) -> None:
    """A newer C library beside it, where the machine's is too old for it."""
    environment = {**os.environ, "LC_ALL": "C"}
    asked = [str(folder / BINARY), "--version"]
    if subprocess.run(asked, capture_output=True, env=environment, check=False).returncode:
        debian_packages.unpack(PACKAGES, folder, debian_packages.newer_release())


@contextmanager
def open_frontend(settings: ServeSettings) -> Iterator[str]:
    """URL of the running frontend or, if that wants keys or TLS, of another one beside it, on loopback.

    perf_analyzer takes a key on its command line alone, where everybody on the machine can read it.
    """
    if not (settings.has_keys or settings.has_tls):
        yield settings.url
        return
    print(f"\n{settings.url} wants a key or TLS: a frontend without them is started beside it", flush=True)
    beside = replace(settings, host=serve_settings.LOOPBACK, port=ports.free(), has_tls=False)
    environment = without_keys(os.environ) | {
        "FRONTEND_HOST": beside.host,
        "FRONTEND_PORT": str(beside.port),
        "TLS_CERT_FILE": "",
        "TLS_KEY_FILE": "",
    }
    with Supervisor() as supervisor:
        supervisor.add(Process("frontend", [sys.executable, "-m", "frontend"], environment))
        supervisor.wait_until(lambda: frontend_answers(beside.url, "/health/ready"), "starting the frontend")
        yield beside.url


def load_options(concurrency: str) -> list[str]:
    """perf_analyzer's options for a load of this many clients."""
    if not (concurrency.isascii() and concurrency.isdigit() and int(concurrency)):
        raise Failure(f"CONCURRENCY={concurrency} is not a number of clients")
    return [f"--concurrency-range={concurrency}", f"--request-count={int(concurrency) * NUM_ROUNDS}"]


def grpc_options(settings: ServeSettings, inputs: Path) -> list[str]:
    """perf_analyzer's options for the ensemble."""
    kind = ["--service-kind", "triton", "-i", "grpc", "--streaming"]
    return ["-m", ENSEMBLE, *kind, "-u", settings.grpc_address, "--input-data", str(inputs)]


def openai_options(url: str, model: str, inputs: Path) -> list[str]:
    """perf_analyzer's options for the chat route; it refuses --streaming and streams as the body asks."""
    kind = ["--service-kind", "openai", "--endpoint", ENDPOINT, "-i", "http", "--async"]
    return ["-m", model, *kind, "-u", url, "--input-data", str(inputs)]


def grpc_inputs(prompts: Sequence[str]) -> dict[str, Any]:
    """perf_analyzer's input data: the tensors of one request a prompt, answered at full length."""
    limits = {"max_tokens": [MAX_TOKENS], "end_id": [-1], "stream": [True]}
    return {"data": [{"text_input": [prompt], **limits} for prompt in prompts]}


def openai_inputs(prompts: Sequence[str], model: str) -> dict[str, Any]:
    """perf_analyzer's input data: the body of one request a prompt, answered at full length."""
    return {"data": [{"payload": [_chat_body(prompt, model)]} for prompt in prompts]}


def _chat_body(prompt: str, model: str) -> dict[str, Any]:
    messages = [{"role": "user", "content": prompt}]
    limits = {"max_tokens": MAX_TOKENS, "ignore_eos": True, "stream": True}
    return {"model": model, "messages": messages, **limits}


def _write(name: str, inputs: dict[str, Any]) -> Path:
    INPUTS.mkdir(parents=True, exist_ok=True)
    path = INPUTS / name
    path.write_text(json.dumps(inputs, indent=1))
    return path


def _run(command: Sequence[str]) -> None:
    code = subprocess.run(command, env=without_keys(os.environ), check=False).returncode
    if code:
        raise Failure(f"perf_analyzer failed with exit code {code}; its message is above")


if __name__ == "__main__":
    run(main)
