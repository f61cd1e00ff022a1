"""Load on the engine alone, in this process: what the stack is measured against."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from serving.backends import decoder_library

if TYPE_CHECKING:
    from batching.paged_sequence import PagedSequence


def use_modules(repository: Path) -> None:
    """The engine's modules import each other by bare name, as under Triton, and so they find its library."""
    sys.path[:0] = [str(repository / "tensorrt_llm" / "1"), str(decoder_library().parent)]


class BareEngine:
    """The engine of a model repository, opened with the settings that Triton gives it."""

    def __init__(self, repository: Path) -> None:
        use_modules(repository)
        from batching.running_batch import open_batch
        from engine_settings import read_settings

        text = (repository / "tensorrt_llm" / "config.pbtxt").read_text()
        config = text_format.Parse(text, model_config_pb2.ModelConfig())
        parameters = {key: {"string_value": value.string_value} for key, value in config.parameters.items()}
        settings = read_settings({"parameters": parameters}, repository)
        self._batch = open_batch(
            settings.engine,
            settings.max_kv_tokens,
            settings.max_num_tokens,
            settings.max_draft_len,
            settings.max_num_seqs,
        )

    def tokens_per_second(self, prompts: Sequence[list[int]], num_tokens: int) -> float:
        """Output tokens per second of one greedy generation per prompt, all at once."""
        start = time.perf_counter()
        self._write_all(prompts, num_tokens)
        return len(prompts) * num_tokens / (time.perf_counter() - start)

    def first_token_seconds(self, prompt: list[int]) -> float:
        """Until the first id of one greedy generation."""
        start = time.perf_counter()
        self._write_all([prompt], 1)
        return time.perf_counter() - start

    def _write_all(self, prompts: Sequence[list[int]], num_tokens: int) -> None:
        """That many ids behind each prompt."""
        for prompt in prompts:
            self._batch.start(silent_sequence(prompt, num_tokens))
        while self._batch.has_work:
            self._batch.step()


class _Nobody:
    """A Sender to which nothing matters."""

    def send(self, *_: object) -> None:
        pass

    refuse = fail = close = send

    def is_cancelled(self) -> bool:
        return False


def silent_sequence(prompt: Sequence[int], num_tokens: int) -> "PagedSequence":
    """One that is written greedily, for nobody."""
    from batching.paged_sequence import PagedSequence
    from contract.generation import Generation
    from contract.request import GenerationRequest
    from contract.response_stream import ResponseStream

    request = GenerationRequest(list(prompt), num_tokens)
    return PagedSequence(Generation(request, ResponseStream("", _Nobody())))
