"""`make serve` with an engine that TensorRT-LLM compiled for two GPUs, on a machine of stand-ins."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from build.paths import ENGINES, LOGS
from tests.build.compiled_engine import engine_config
from tests.fakes.clients import openai_client
from tests.integration import gpu_machine
from tests.integration.live_stack import API_KEY, served_stack
from tests.serving.compiled_folder import write_compiled_folder


@pytest.fixture
def engine() -> Iterator[str]:
    """The name of an engine of two ranks."""
    folder = ENGINES / f"stand-in-{os.getpid()}"
    try:
        write_compiled_folder(folder, engine_config(tp=2))
        yield folder.name
    finally:
        shutil.rmtree(folder)


def test_ranks_serve_and_leave_in_order(engine: str, tmp_path: Path) -> None:
    commands = tmp_path / "bin"
    commands.mkdir()
    gpu_machine.install(commands)
    path = os.pathsep.join([str(commands), os.environ["PATH"]])
    with served_stack(tmp_path / "serve.log", NAME=engine, PATH=path) as stack:
        with openai_client(stack.url, API_KEY) as client:
            answer = client.completions.create(model=stack.model, prompt="Hello", max_tokens=5)
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 5
        log = log_of(stack.triton)
        assert "--grpc-port=" in line(log, "rank 0 ")
        assert "--load-model=tensorrt_llm" in line(log, "rank 1 ")
        assert "--allow-grpc=false" in line(log, "rank 1 ")
    assert line(log_of(stack.triton), "all ranks have left") == "all ranks have left 0 0"
    assert "TensorRT-LLM compiled it" in stack.log.read_text()


def log_of(triton: str) -> Path:
    """tritonserver's log with this port; others may have been started since."""
    port = triton.rpartition(":")[2]
    found = [path for path in LOGS.glob("tritonserver.log*") if f"--grpc-port={port} " in path.read_text()]
    return found[0]


def line(log: Path, start: str) -> str:
    return next(text for text in log.read_text().splitlines() if text.startswith(start))
