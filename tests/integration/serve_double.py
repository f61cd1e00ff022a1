"""What `make serve` starts, with Llama 3.1's tokenizer and a replay engine for a double of TensorRT-LLM."""

import os
import sys
from pathlib import Path

from build.errors import run
from build.manifest import Inputs, Limits, Manifest
from build.repository import render_repository
from frontend.server.heartbeat import Heartbeat
from scripts.replay.options import ReplayOptions
from scripts.replay.repository import render_native_replay, render_replay
from scripts.serve import start_frontend, start_tritonserver
from serving import settings as serve_settings
from serving.engine_server import embedded_launch
from serving.settings import without_keys
from serving.supervisor import Stopped, Supervisor
from tests.build.llama3_tokenizer import from_tiktoken
from tests.model_repository.preprocess.reference import TOKENIZER_MODEL

NAME = "meta-llama/Llama-3.1-8B-Instruct"
ADAPTER = "poetry"
# Slow enough for a client to leave in the middle; texts end by themselves, but not before 16 tokens.
OPTIONS = ReplayOptions(
    tokens_per_second="200",
    jitter="0.5",
    answer_length="24",
    gather_generation_logits="true",
    lora_adapters=f"{ADAPTER}=7",
    takes_directives="true",
)
# Those that both replay engines have; few enough at once for one to wait.
SHARED_OPTIONS = ReplayOptions(tokens_per_second="100", jitter="0.5", answer_length="24", max_num_seqs="3")


def main() -> int:
    """Takes the folder in which all is made; and replay or native-replay, for what both of them can."""
    folder = Path(sys.argv[1])
    render(folder, *sys.argv[2:])
    settings = serve_settings.read(os.environ)
    settings.require_free_ports()
    try:
        with Supervisor() as supervisor:
            launch = embedded_launch(
                folder / "model_repository",
                settings.grpc_port,
                without_keys(os.environ),
                metrics_port=settings.metrics_port,
            )
            heartbeat = Heartbeat.new()
            start_tritonserver(supervisor, settings, launch, heartbeat, folder)
            start_frontend(supervisor, settings, heartbeat)
            supervisor.watch()
    except Stopped:
        return 0


def render(folder: Path, shared: str = "") -> None:
    """An engine folder whose engine nobody needs."""
    manifest = Manifest(
        origin=str(TOKENIZER_MODEL),
        files=(),
        inputs=Inputs("", "", "", {}),
        limits=Limits(max_model_len=8192, vocab_size=128256),
        tokenizer=from_tiktoken(TOKENIZER_MODEL, folder / "tokenizer"),
        served_model_name=NAME,
        repository_sha256="",
    )
    render_repository(manifest, folder / "rendered")
    replay = render_native_replay if shared == "native-replay" else render_replay
    options = SHARED_OPTIONS if shared else OPTIONS
    replay(folder / "rendered", folder, folder / "model_repository", options)


if __name__ == "__main__":
    run(main)
