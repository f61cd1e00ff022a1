"""Answers a chat with all models of an engine folder, as serving does: `python -m build.cpu.trial FOLDER`."""

import importlib
import math
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from build.engine_folder import REPOSITORY
from build.repository import CONFIG, ENGINE_MODEL, read_config

NUM_TOKENS = 4
_PROMPTS = ({"messages": b'[{"role": "user", "content": "Hello"}]'}, {"text_input": b"Hello"})
_TIMEOUT_S = 600.0

Tensors = Mapping[str, NDArray[Any]]


class _Answer:
    """Triton's side of the one request."""

    def __init__(self) -> None:
        self.tensors: Tensors = {}
        self.failure = ""
        self.ended = threading.Event()

    def send(self, tensors: Tensors, is_final: bool) -> None:
        self.tensors = tensors
        if is_final:
            self.ended.set()

    def refuse(self, reason: Exception) -> None:
        self.fail(str(reason))

    def fail(self, message: str) -> None:
        self.failure = message
        self.ended.set()

    def close(self) -> None:
        self.ended.set()

    def is_cancelled(self) -> bool:
        return False


def answer(repository: Path) -> list[float]:
    """The log-probabilities of a few greedily chosen tokens, which postprocess could spell."""
    for model in ("preprocess", "postprocess", ENGINE_MODEL):
        sys.path.insert(0, str(repository / model / "1"))
    spelling = importlib.import_module("postprocess_settings").load_token_bytes(
        _parameters(repository, "postprocess"), repository
    )
    prompt = _prompt(repository)
    parameters = _parameters(repository, ENGINE_MODEL).items()
    config = {"parameters": {name: {"string_value": value} for name, value in parameters}}
    engine = importlib.import_module("engine").load_engine(config, str(repository / ENGINE_MODEL))
    answered = _Answer()
    flags = {"return_log_probs": True, "exclude_input_in_output": True}
    engine.accept("trial", {**prompt, **{name: np.array([[flag]]) for name, flag in flags.items()}}, answered)
    answered.ended.wait(_TIMEOUT_S)
    engine.close()
    if answered.failure:
        raise ValueError(answered.failure)
    importlib.import_module("chunk_decoder").ChunkDecoder(spelling).decode(
        answered.tensors["output_ids"], answered.tensors["sequence_length"], ["text_output"]
    )
    log_probs: list[float] = answered.tensors["output_log_probs"].ravel().tolist()
    return log_probs


def _prompt(repository: Path) -> Tensors:
    """A chat's, or a text's where the model has no template for chats."""
    preprocessor = importlib.import_module("preprocessor").load_preprocessor(
        _parameters(repository, "preprocess"), repository
    )
    refused = importlib.import_module("client_input").ClientError
    chat, text = (
        {name: np.array([[value]], object) for name, value in prompt.items()}
        | {"max_tokens": np.array([[NUM_TOKENS]]), "end_id": np.array([[-1]])}
        for prompt in _PROMPTS
    )
    try:
        tensors: Tensors = preprocessor.prepare(chat)
    except refused:
        tensors = preprocessor.prepare(text)
    return tensors


def _parameters(repository: Path, model: str) -> dict[str, str]:
    config = read_config(repository / model / CONFIG)
    return {name: value.string_value for name, value in config.parameters.items()}


def main() -> int:
    try:
        log_probs = answer(Path(sys.argv[1]) / REPOSITORY)
    except Exception as error:
        # The models raise one sentence for whoever starts a server.
        sys.stderr.write(f"{str(error) or type(error).__name__}\n")
        return 1
    if len(log_probs) != NUM_TOKENS or not all(map(math.isfinite, log_probs)):
        sys.stderr.write(f"its tokens have the log-probabilities {log_probs}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
