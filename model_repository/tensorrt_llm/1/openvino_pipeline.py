"""The engine itself: OpenVINO GenAI's continuous batching, as far as it is used."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import openvino
import openvino_genai
from engine_settings import EngineSettings

# Of OpenVINO's CPU plugin: the KV cache is handed out in blocks of so many tokens.
KV_BLOCK_TOKENS = 32


class Output(Protocol):
    """The part of openvino_genai.GenerationOutput that is used: what was written since the last one."""

    @property
    def generated_ids(self) -> Sequence[int]: ...

    @property
    def generated_log_probs(self) -> Sequence[float]: ...


class Handle(Protocol):
    """The part of openvino_genai.GenerationHandle that is used."""

    def can_read(self) -> bool: ...

    def read(self) -> Mapping[int, Output]: ...

    def get_status(self) -> openvino_genai.GenerationStatus: ...

    def stop(self) -> None: ...


class Pipeline(Protocol):
    """The part of openvino_genai.ContinuousBatchingPipeline that is used; for one thread only."""

    def add_request(
        self,
        request_id: int,
        input_ids: openvino.Tensor,
        generation_config: openvino_genai.GenerationConfig,
    ) -> Handle: ...

    def step(self) -> None: ...

    def has_non_finished_requests(self) -> bool: ...


def open_pipeline(settings: EngineSettings) -> Pipeline:
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.num_kv_blocks = -(-settings.max_kv_tokens // KV_BLOCK_TOKENS)
    scheduler.max_num_batched_tokens = settings.max_num_tokens
    scheduler.enable_prefix_caching = True
    properties = {
        # bfloat16, the default of newer CPUs, rounds logits from 16 on to steps of 0.125, and is no faster.
        "INFERENCE_PRECISION_HINT": "f32",
        # A pinned thread waits for its core while another is idle, and Triton's processes need cores too.
        "ENABLE_CPU_PINNING": False,
    }
    pipeline: Pipeline = openvino_genai.ContinuousBatchingPipeline(
        settings.engine, scheduler, "CPU", properties
    )
    return pipeline


def read_vocab_size(engine: Path) -> int:
    model = openvino.Core().read_model(engine / "openvino_model.xml")
    return int(model.output("logits").partial_shape[2].get_length())
