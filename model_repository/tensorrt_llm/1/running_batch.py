"""The requests that run at the moment, and the pipeline that runs them; for one thread only."""

import itertools
import logging
from collections.abc import Callable
from dataclasses import dataclass

import openvino
from genai_config import generation_config
from generation import Generation
from openvino_genai import GenerationStatus
from openvino_pipeline import KV_BLOCK_TOKENS, Handle, Pipeline

_log = logging.getLogger("tensorrt_llm")


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How many requests run at once, and how many tokens, prompts included, their KV cache holds."""

    max_num_seqs: int
    max_kv_tokens: int


@dataclass(frozen=True, slots=True)
class _Running:
    generation: Generation
    handle: Handle


class RunningBatch:
    def __init__(self, open_pipeline: Callable[[], Pipeline], limits: BatchLimits) -> None:
        self._open_pipeline = open_pipeline
        self._pipeline = open_pipeline()
        self._limits = limits
        self._running: list[_Running] = []
        self._pipeline_ids = itertools.count()

    @property
    def has_work(self) -> bool:
        """True also when the pipeline has still to let go of a request that has ended."""
        return self._pipeline.has_non_finished_requests()

    def has_room_for(self, generation: Generation) -> bool:
        """GenAI preempts the youngest when generated ids fill the KV cache, but drops all when prompts do."""
        if len(self._running) >= self._limits.max_num_seqs:
            return False
        num_blocks = _num_kv_blocks(generation) + sum(_num_kv_blocks(it.generation) for it in self._running)
        return num_blocks * KV_BLOCK_TOKENS <= self._limits.max_kv_tokens

    def start(self, generation: Generation) -> None:
        request = generation.request
        prompt_ids = openvino.Tensor(request.prompt_ids)
        try:
            handle = self._pipeline.add_request(
                next(self._pipeline_ids), prompt_ids, generation_config(request)
            )
        except RuntimeError:
            _log.exception("request %r: refused by the engine", generation.request_id)
            generation.fail("The engine refused this request.")
        else:
            self._running.append(_Running(generation, handle))

    def step(self) -> None:
        """Generates one id for every request, or takes in a part of a prompt, and passes it on."""
        self._pipeline.step()
        self._running = [it for it in self._running if _goes_on(it)]

    def end_where(self, is_unwanted: Callable[[Generation], bool]) -> None:
        kept = []
        for it in self._running:
            if is_unwanted(it.generation):
                it.handle.stop()
                it.generation.finish()
            else:
                kept.append(it)
        self._running = kept

    def fail_all(self, message: str) -> None:
        for it in self._running:
            it.handle.stop()
            it.generation.fail(message)
        self._running = []

    def replace_pipeline(self) -> None:
        """For one that failed: GenAI leaves it with half a step done."""
        self._pipeline = self._open_pipeline()


def _num_kv_blocks(generation: Generation) -> int:
    """With room for one more id."""
    return generation.num_tokens // KV_BLOCK_TOKENS + 1


def _goes_on(it: _Running) -> bool:
    while it.handle.can_read():
        for output in it.handle.read().values():
            it.generation.add(output.generated_ids, output.generated_log_probs)
    status = it.handle.get_status()
    if status == GenerationStatus.IGNORED:
        it.generation.fail("The engine's KV cache is full.")
    elif it.generation.is_complete or status == GenerationStatus.FINISHED:
        it.handle.stop()
        it.generation.finish()
    else:
        it.generation.send_progress()
        return True
    return False
