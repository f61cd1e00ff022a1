"""The engine as Triton sees it: tensors, the names of the wanted outputs and a way to answer go in."""

import gc
import itertools
import logging
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from contract.metrics import EngineLoad
from contract.parameters import InvalidSettings
from contract.response_stream import ResponseStream, Sender
from contract.tensors import Tensors
from guides.answer_guide import GuideCompiler
from replay_perf_metrics import MAX_BLOCKS, PerfMetrics, ReplayKvCache
from replay_request import (
    ExecutorFailure,
    ForwardFailure,
    ReplayLimits,
    ReplayRequest,
    RequestRefused,
    read_request,
    split_batch,
)
from replay_responses import ResponseBuilder
from replay_scheduler import ReplayScheduler, SequenceCount
from replay_sequence import Answer, ReplaySequence
from replay_settings import ReplaySettings, read_settings
from replay_texts import ReplayTexts
from replay_words import read_words

_log = logging.getLogger("tensorrt_llm")


class ReplayEngine:
    def __init__(self, settings: ReplaySettings, texts: ReplayTexts, vocab_size: int) -> None:
        self._settings = settings
        self._texts = texts
        self._limits = ReplayLimits(
            vocab_size,
            settings.max_model_len,
            settings.gathers_generation_logits,
            settings.excludes_input_in_output,
            settings.normalizes_log_probs,
        )
        self._numbers = itertools.count(1)
        self._adapters = set(settings.lora_task_ids)
        self._kv_cache = ReplayKvCache(settings.tokens_per_block)
        self._scheduler = ReplayScheduler(
            settings.max_num_seqs,
            settings.max_queue_size,
            settings.cancellation_check_period_s,
            SequenceCount(settings.sequence_count_file),
        )

    def accept(self, request_id: str, tensors: Tensors, wanted: Collection[str], sender: Sender) -> None:
        """Returns at once; the answer or the error goes to the sender."""
        answer = Answer(next(self._numbers), ResponseStream(request_id, sender))
        try:
            if "stop" in tensors and tensors["stop"].any():
                self._stop(request_id, answer)
            else:
                self._scheduler.start(self._sequences(answer, tensors, wanted))
        except RequestRefused as reason:
            answer.fail(str(reason))
        except ExecutorFailure as reason:
            answer.fail_in_executor(str(reason))
        except ForwardFailure as reason:
            answer.fail_in_executor(str(reason))
            self._scheduler.fail_all(str(reason))
        except Exception as error:
            # Triton's thread ends here: the other requests go on.
            _log.exception("request %r: failed", request_id)
            answer.fail(str(error))

    def load(self) -> EngineLoad:
        """As TensorRT-LLM, which does not tell what waits beyond max_num_seqs."""
        running = self._scheduler.running
        size = self._settings.tokens_per_block
        num_used = sum(-(-sequence.num_tokens // size) for sequence in running)
        return EngineLoad(
            max_requests=self._settings.max_num_seqs,
            num_running=len(running),
            num_waiting=0,
            num_blocks=MAX_BLOCKS,
            # Unlike a real cache it has room for everybody.
            num_used_blocks=min(num_used, MAX_BLOCKS),
            tokens_per_block=size,
            num_steps=self._scheduler.num_steps,
        )

    def close(self) -> None:
        """Ends what runs with an error."""
        self._scheduler.close()

    def _stop(self, request_id: str, answer: Answer) -> None:
        if not request_id:
            raise RequestRefused("Trying to stop a request but request ID is not provided")
        self._scheduler.stop(request_id, answer.close)

    def _sequences(self, answer: Answer, tensors: Tensors, wanted: Collection[str]) -> list[ReplaySequence]:
        """One for each sample of the batch."""
        samples = list(split_batch(tensors))
        requests = [read_request(sample, self._limits) for sample in samples]
        answer.expect(len(requests))
        return [
            self._sequence(answer, request, (place, len(requests)), wanted)
            for place, request in enumerate(requests)
        ]

    def _sequence(
        self, answer: Answer, request: ReplayRequest, batch: tuple[int, int], wanted: Collection[str]
    ) -> ReplaySequence:
        self._require_adapter(request.adapter, request.brings_adapter)
        directive = self._texts.directive(request)
        metrics = PerfMetrics(
            self._kv_cache.take_up(request.prompt_ids, request.adapter), time.monotonic_ns()
        )
        builder = ResponseBuilder(request, batch, self._limits.vocab_size, wanted, metrics)
        writer = self._texts.writer(request, directive)
        return ReplaySequence(
            answer, builder, writer, self._settings.pace, directive.fault or self._settings.fault
        )

    def _require_adapter(self, task_id: int, is_brought: bool) -> None:
        if is_brought:
            self._adapters.add(task_id)
        elif task_id and task_id not in self._adapters:
            raise ExecutorFailure(
                f"LoRA task {task_id} not found in cache. Please send LoRA weights with request"
            )


def load_engine(model_config: Mapping[str, Any], model_folder: str) -> ReplayEngine:
    """Takes what Triton tells a model: its configuration, and its own folder among the models."""
    settings = read_settings(model_config, Path(model_folder).parent)
    time.sleep(settings.load_delay_s)
    try:
        words, vocab_size = read_words(settings.tokenizer)
    except ValueError as error:
        raise InvalidSettings(f"engine_dir: {settings.tokenizer}: {error}") from error
    guides = GuideCompiler(settings.tokenizer, vocab_size)
    engine = ReplayEngine(settings, ReplayTexts(settings, words, vocab_size, guides), vocab_size)
    # What is there now stays for ever: a look for garbage in all of it would make every token late.
    gc.collect()
    gc.freeze()
    return engine
