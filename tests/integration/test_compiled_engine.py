"""`make serve` with an engine that TensorRT-LLM compiled for two GPUs, on a machine of stand-ins."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from build.manifest import read_manifest
from build.paths import ENGINES, LOGS
from scripts.gpu_image import fetch
from serving.engine import choose
from tests.build.compiled_engine import engine_config
from tests.fakes.clients import openai_client
from tests.gpu_image.conftest import DOUBLES
from tests.integration import gpu_machine
from tests.integration.live_stack import API_KEY, served_stack
from tests.serving.compiled_folder import write_compiled_folder

CHAT: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def engine() -> Iterator[str]:
    """The name of an engine of two ranks."""
    folder = ENGINES / f"stand-in-{os.getpid()}"
    try:
        embedded = choose({}, find_gpus=lambda: None).folder
        window = read_manifest(embedded).limits.max_model_len
        write_compiled_folder(folder, engine_config(tp=2, max_seq_len=window), like=embedded)
        yield folder.name
    finally:
        shutil.rmtree(folder)


def test_ranks_serve_and_leave_in_order(engine: str, tmp_path: Path) -> None:
    commands = tmp_path / "bin"
    commands.mkdir()
    gpu_machine.install(commands, [fetch(), DOUBLES])
    path = os.pathsep.join([str(commands), os.environ["PATH"]])
    with served_stack(tmp_path / "serve.log", NAME=engine, PATH=path) as stack:
        with openai_client(stack.url, API_KEY) as client:
            answer = client.completions.create(model=stack.model, prompt="Hello", max_tokens=5)
            guided = client.chat.completions.create(
                model=stack.model, messages=CHAT, max_tokens=5, response_format=schema({"type": "object"})
            )
            with pytest.raises(openai.BadRequestError, match="can't be compiled"):
                client.chat.completions.create(
                    model=stack.model, messages=CHAT, response_format=schema({"type": "strung"})
                )
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 5
        assert guided.choices
        log = log_of(stack.triton)
        assert "--grpc-port=" in line(log, "rank 0 ")
        assert "--load-model=tensorrt_llm" in line(log, "rank 1 ")
        assert "--allow-grpc=false" in line(log, "rank 1 ")
    assert line(log_of(stack.triton), "all ranks have left") == "all ranks have left 0 0"
    assert "TensorRT-LLM compiled it" in stack.log.read_text()


def schema(value: dict[str, object]) -> Any:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": value}}


def log_of(triton: str) -> Path:
    """tritonserver's log with this port; others may have been started since."""
    port = triton.rpartition(":")[2]
    found = [path for path in LOGS.glob("tritonserver-*.log*") if f"--grpc-port={port} " in path.read_text()]
    return found[0]


def line(log: Path, start: str) -> str:
    return next(text for text in log.read_text().splitlines() if text.startswith(start))
