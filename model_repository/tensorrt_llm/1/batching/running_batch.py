"""The requests that run now, and the pipeline that runs them; but for `load`, for one thread only."""

from collections.abc import Callable, Sequence
from typing import Protocol

from contract.metrics import EngineLoad
from contract.request import EngineRequest
from sampling.token_chooser import Choice

from batching.generation import Generation
from batching.kv_blocks import BLOCK_TOKENS
from batching.paged_sequence import DecodingRequest, PagedSequence


class Pipeline(Protocol):
    """The part of PagedPipeline that is used."""

    @property
    def has_work(self) -> bool: ...

    @property
    def num_blocks(self) -> int: ...

    @property
    def num_used_blocks(self) -> int: ...

    def has_room_for(self, num_prompt_tokens: int) -> bool: ...

    def start(self, request: DecodingRequest) -> PagedSequence: ...

    def step(self) -> Sequence[Choice]: ...

    def stop(self, sequence: PagedSequence) -> None: ...


class RunningBatch:
    """Runs max_num_seqs requests at once, as long as the KV cache has room for them."""

    def __init__(self, open_pipeline: Callable[[], Pipeline], max_num_seqs: int) -> None:
        self._open_pipeline = open_pipeline
        self._pipeline = open_pipeline()
        self._max_num_seqs = max_num_seqs
        self._running: dict[PagedSequence, Generation] = {}

    @property
    def has_work(self) -> bool:
        return self._pipeline.has_work

    def load(self, num_waiting: int) -> EngineLoad:
        """May be asked from any thread."""
        return EngineLoad(
            max_requests=self._max_num_seqs,
            num_running=len(self._running),
            num_waiting=num_waiting,
            num_blocks=self._pipeline.num_blocks,
            num_used_blocks=self._pipeline.num_used_blocks,
            tokens_per_block=BLOCK_TOKENS,
        )

    def has_room_for(self, generation: Generation) -> bool:
        if len(self._running) >= self._max_num_seqs:
            return False
        return self._pipeline.has_room_for(generation.request.num_prompt_tokens)

    def start(self, generation: Generation) -> None:
        self._running[self._pipeline.start(_decoding_request(generation.request))] = generation

    def step(self) -> None:
        """Generates one id or more for every request, or takes in a part of a prompt, and passes it on."""
        for choice in self._pipeline.step():
            # What was drafted beyond the end of a text belongs to nobody.
            if generation := self._running.get(choice.sequence):
                generation.add(choice)
                if generation.is_complete:
                    self._leave(choice.sequence).finish()
        for generation in self._running.values():
            generation.send_progress()

    def end_where(self, is_unwanted: Callable[[Generation], bool]) -> None:
        for sequence in [it for it, generation in self._running.items() if is_unwanted(generation)]:
            self._leave(sequence).finish()

    def fail_all(self, message: str) -> None:
        for sequence in list(self._running):
            self._leave(sequence).fail(message)

    def replace_pipeline(self) -> None:
        """For one that failed in the middle of a step."""
        self._pipeline = self._open_pipeline()

    def _leave(self, sequence: PagedSequence) -> Generation:
        self._pipeline.stop(sequence)
        return self._running.pop(sequence)


def _decoding_request(request: EngineRequest) -> DecodingRequest:
    return DecodingRequest(
        prompt_ids=request.prompt_ids,
        sampling=request.sampling,
        edits=request.edits,
        wants_log_probs=request.returns_log_probs,
        wants_logits=request.returns_generation_logits,
        wants_prompt_scores=request.num_prompt_log_probs >= 0,
        num_top=max(request.num_prompt_log_probs, 0),
    )
