"""Load on the engine alone, in this process: what the stack is measured against."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from build.cpu.library import decoder_libraries

if TYPE_CHECKING:
    from batching.paged_pipeline import PagedPipeline
    from batching.paged_sequence import DecodingRequest


def use_modules(repository: Path) -> None:
    """The engine's modules import each other by bare name, as under Triton, and find its libraries."""
    libraries = [str(library.parent) for library in decoder_libraries().values()]
    sys.path[:0] = [str(repository / "tensorrt_llm" / "1"), *libraries]


class BareEngine:
    """The engine of a model repository, opened with the settings that Triton gives it."""

    def __init__(self, repository: Path) -> None:
        use_modules(repository)
        from batching.paged_pipeline import open_paged_pipeline
        from engine_settings import read_settings

        text = (repository / "tensorrt_llm" / "config.pbtxt").read_text()
        config = text_format.Parse(text, model_config_pb2.ModelConfig())
        parameters = {key: {"string_value": value.string_value} for key, value in config.parameters.items()}
        settings = read_settings({"parameters": parameters}, repository)
        self._pipeline = open_paged_pipeline(
            settings.engine, settings.max_kv_tokens, settings.max_num_tokens, settings.max_draft_len
        )

    def tokens_per_second(self, prompts: Sequence[list[int]], num_tokens: int) -> float:
        """Output tokens per second of one greedy generation per prompt, all at once."""
        from batching.paged_sequence import DecodingRequest
        from contract.sampling import Sampling

        start = time.perf_counter()
        write_all(self._pipeline, [DecodingRequest(prompt, Sampling()) for prompt in prompts], num_tokens)
        return len(prompts) * num_tokens / (time.perf_counter() - start)

    def first_token_seconds(self, prompt: list[int]) -> float:
        """Until the first id of one greedy generation."""
        from batching.paged_sequence import DecodingRequest
        from contract.sampling import Sampling

        start = time.perf_counter()
        write_all(self._pipeline, [DecodingRequest(prompt, Sampling())], 1)
        return time.perf_counter() - start


def write_all(pipeline: "PagedPipeline", requests: Sequence["DecodingRequest"], num_tokens: int) -> None:
    """Takes that many ids of each text."""
    counts = {pipeline.start(request): 0 for request in requests}
    while counts:
        for choice in pipeline.step():
            # With drafts a step may give more ids than a text that ends in it takes.
            if choice.sequence not in counts:
                continue
            counts[choice.sequence] += 1
            if counts[choice.sequence] == num_tokens:
                pipeline.stop(choice.sequence)
                del counts[choice.sequence]
