"""Load on the engine alone, in this process: what the stack is measured against."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openvino
import openvino_genai
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2


class BareEngine:
    """The engine of a model repository, opened with the settings that Triton gives it."""

    def __init__(self, repository: Path) -> None:
        # The model's modules import each other by bare name, as under Triton.
        sys.path.insert(0, str(repository / "tensorrt_llm" / "1"))
        from engine_settings import read_settings
        from openvino_pipeline import open_pipeline

        config = text_format.Parse(
            (repository / "tensorrt_llm" / "config.pbtxt").read_text(), model_config_pb2.ModelConfig()
        )
        parameters = {key: {"string_value": value.string_value} for key, value in config.parameters.items()}
        settings = read_settings({"parameters": parameters}, repository)
        self._pipeline = open_pipeline(settings)
        self._num_requests = 0

    def tokens_per_second(self, prompts: Sequence[list[int]], num_tokens: int) -> float:
        """Output tokens per second of one greedy generation per prompt, all at once."""
        config = openvino_genai.GenerationConfig(max_new_tokens=num_tokens, ignore_eos=True, do_sample=False)
        # GenAI wants an end id even of a request that ignores it.
        config.eos_token_id = 0
        config.stop_token_ids = {0}
        start = time.perf_counter()
        # A request whose handle is gone is dropped.
        handles = []
        for prompt in prompts:
            self._num_requests += 1
            ids = openvino.Tensor(np.array([prompt], np.int64))
            handles.append(self._pipeline.add_request(self._num_requests, ids, config))
        while self._pipeline.has_non_finished_requests():
            self._pipeline.step()
        return len(handles) * num_tokens / (time.perf_counter() - start)
