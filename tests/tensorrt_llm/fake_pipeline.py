"""A stand-in for OpenVINO GenAI's ContinuousBatchingPipeline: writes given ids by the same rules."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import openvino
from openvino_genai import GenerationConfig, GenerationStatus

Writer = Callable[[Sequence[int]], Iterator[int]]


@dataclass(frozen=True)
class FakeOutput:
    generated_ids: list[int]
    generated_log_probs: list[float]


class FakeHandle:
    def __init__(self, ids: Iterator[int], config: GenerationConfig) -> None:
        self.config = config
        self.status = GenerationStatus.RUNNING
        self._ids = ids
        self._num_written = 0
        self._outputs: list[FakeOutput] = []

    def can_read(self) -> bool:
        return self.status != GenerationStatus.STOP and bool(self._outputs)

    def read(self) -> dict[int, FakeOutput]:
        assert self.status != GenerationStatus.STOP, "GenerationHandle cannot be used after it is stopped"
        return {0: self._outputs.pop(0)}

    def get_status(self) -> GenerationStatus:
        return self.status

    def stop(self) -> None:
        self.status = GenerationStatus.STOP

    def write_one(self) -> None:
        token_id = next(self._ids)
        self._num_written += 1
        self._outputs.append(FakeOutput([token_id], [-0.5] if self.config.logprobs else [0.0]))
        is_end = token_id in self.config.stop_token_ids and not self.config.ignore_eos
        if is_end or self._num_written == self.config.max_new_tokens:
            self.status = GenerationStatus.FINISHED


class FakePipeline:
    """The writer gives the ids that follow a prompt; before_step is called at the start of every step."""

    def __init__(self, writer: Writer, before_step: Callable[[], object] = lambda: None) -> None:
        self.handles: list[FakeHandle] = []
        self.num_steps = 0
        self._writer = writer
        self._before_step = before_step
        self._running: list[FakeHandle] = []
        self._ids: set[int] = set()

    def add_request(
        self, request_id: int, input_ids: openvino.Tensor, generation_config: GenerationConfig
    ) -> FakeHandle:
        assert request_id not in self._ids
        self._ids.add(request_id)
        generation_config.validate()
        handle = FakeHandle(self._writer(input_ids.data[0].tolist()), generation_config)
        self.handles.append(handle)
        self._running.append(handle)
        return handle

    def step(self) -> None:
        self._before_step()
        self.num_steps += 1
        for handle in self._running:
            if handle.status == GenerationStatus.RUNNING:
                handle.write_one()
        self._running = [it for it in self._running if it.status == GenerationStatus.RUNNING]

    def has_non_finished_requests(self) -> bool:
        return bool(self._running)

    def run_out_of_memory(self) -> None:
        for handle in self._running:
            handle.status = GenerationStatus.IGNORED
        self._running = []
