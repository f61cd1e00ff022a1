"""The engine as Triton sees it: tensors and a way to answer go in."""

import gc
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from batching.in_flight_batching import InFlightBatching
from batching.paged_sequence import PagedSequence
from batching.running_batch import RunningBatch, open_batch
from contract.generation import Generation
from contract.metrics import EngineLoad
from contract.parameters import InvalidSettings
from contract.request import ModelLimits, read_request
from contract.response_stream import ResponseStream, Sender
from contract.tensors import InvalidInput, Tensors, read_flag
from decoder.paged_model import read_vocab_size
from engine_settings import UNSUPPORTED_INPUTS, read_settings
from guides.answer_guide import has_guide
from guides.guide_trials import TriedGuides
from requested_edits import Guides, read_edits
from sampling.logit_ranking import NUM_RANKED

# Guides that are tried side by side; each may have a second of a core and the memory of a trial.
NUM_COMPILING = 4


class OpenGuides(Guides, Protocol):
    def close(self) -> None: ...


class Engine:
    def __init__(
        self, open_batch: Callable[[], RunningBatch], limits: ModelLimits, num_logits: int, guides: OpenGuides
    ) -> None:
        """num_logits: of a step, where the model has more ids than its tokenizer."""
        self._limits = limits
        self._num_logits = num_logits
        self._guides = guides
        self._batching = InFlightBatching(open_batch)
        # A guide takes up to a second to compile: neither steps nor other requests and stops wait for it.
        # Several: a guide that is refused for its cost takes that second before it is.
        self._compiling = ThreadPoolExecutor(NUM_COMPILING, "guides")

    def accept(self, request_id: str, tensors: Tensors, sender: Sender) -> None:
        """Returns at once, done with the tensors; the answer or the refusal goes to the sender."""
        if has_guide(tensors):
            copied = {name: tensor.copy() for name, tensor in tensors.items()}
            self._compiling.submit(self._accept, request_id, copied, sender)
        else:
            self._accept(request_id, tensors, sender)

    def close(self) -> None:
        """Ends what runs with an error."""
        self._compiling.shutdown()
        self._guides.close()
        self._batching.close()

    def _accept(self, request_id: str, tensors: Tensors, sender: Sender) -> None:
        responses = ResponseStream(request_id, sender)
        with responses.telling_failures():
            if read_flag(tensors, "stop"):
                self._stop(request_id, responses)
            else:
                request = read_request(tensors, self._limits, UNSUPPORTED_INPUTS)
                edits = read_edits(tensors, request, self._num_logits, self._guides)
                self._batching.submit(PagedSequence(Generation(request, responses), edits))

    def load(self) -> EngineLoad:
        """What runs and waits right now, for metrics."""
        return self._batching.load()

    def _stop(self, request_id: str, responses: ResponseStream) -> None:
        if not request_id:
            raise InvalidInput("stop", "needs the request id of the requests to stop.")
        self._batching.cancel(request_id, responses)


def load_engine(model_config: Mapping[str, Any], model_folder: str) -> Engine:
    """Takes what Triton tells a model: its configuration, and its own folder among the models."""
    settings = read_settings(model_config, Path(model_folder).parent)
    try:
        num_logits = read_vocab_size(settings.engine)
        engine = Engine(
            partial(
                open_batch,
                settings.engine,
                settings.vocab_size,
                settings.max_kv_tokens,
                settings.max_num_tokens,
                settings.max_draft_len,
                settings.max_num_seqs,
            ),
            ModelLimits(settings.vocab_size, settings.max_model_len, NUM_RANKED),
            num_logits,
            TriedGuides(settings.tokenizer, num_logits),
        )
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise InvalidSettings(f"engine_dir: {settings.engine} can't be opened: {reason}") from error
    # What is there now stays for ever: a look for garbage in all of it would hold a step up.
    gc.collect()
    gc.freeze()
    return engine
