"""The tensors of one response, by the contract of TensorRT-LLM's C++ backend."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from batching.kv_blocks import BLOCK_TOKENS
from numpy.typing import NDArray
from sampling.token_scores import Logits, TokenScore

from contract.request import EngineRequest


@dataclass(slots=True)
class Progress:
    """What is new since the last response, but the log-probs of all ids generated so far.

    prompt_scores are those of the prompt's ids but the first; num_reused ids of it were in the KV cache.
    is_first says that nothing was told before.
    """

    ids: Sequence[int]
    is_first: bool
    log_probs: Sequence[float] = ()
    logits: Sequence[Logits] = ()
    prompt_scores: Sequence[TokenScore] = ()
    num_reused: int = 0


def response_tensors(request: EngineRequest, progress: Progress) -> dict[str, NDArray[Any]]:
    """Each tensor that the request asks for.

    Shapes, for n ids, m log-probs, p prompt scores, k alternatives and v ids in the vocabulary: output_ids
    [1, 1, n], sequence_length and cum_log_probs [1, 1], output_log_probs [1, 1, m], generation_logits
    [1, n, 1, v] in a stream and [1, 1, n, v] else, prompt_log_probs [1, p], prompt_top_* [1, p, k], and the
    counts [1]. Those of the prompt come with the first response alone: the way of each other one
    through Triton is shorter by a tensor (docs/performance.md).
    """
    ids, log_probs = progress.ids, progress.log_probs
    tensors: dict[str, NDArray[Any]] = {
        "output_ids": np.array(ids, np.int32).reshape(1, 1, -1),
        "sequence_length": np.array([[len(ids)]], np.int32),
    }
    if request.returns_log_probs:
        tensors["output_log_probs"] = np.array(log_probs, np.float32).reshape(1, 1, -1)
        tensors["cum_log_probs"] = np.array([[sum(log_probs)]], np.float32)
    if request.returns_generation_logits and progress.logits:
        rows = np.stack(progress.logits)[np.newaxis]
        tensors["generation_logits"] = rows[:, :, np.newaxis] if request.is_streaming else rows[:, np.newaxis]
    if request.num_prompt_log_probs >= 0 and progress.prompt_scores:
        tensors |= _prompt_tensors(progress.prompt_scores, request.num_prompt_log_probs)
    if request.returns_perf_metrics and progress.is_first:
        tensors["kv_cache_reused_blocks"] = np.array([progress.num_reused // BLOCK_TOKENS], np.int32)
    if request.returns_num_input_tokens and progress.is_first:
        tensors["num_input_tokens"] = np.array([request.num_prompt_tokens], np.int32)
    if request.returns_num_output_tokens:
        tensors["num_output_tokens"] = np.array([len(ids)], np.int32)
    return tensors


def _prompt_tensors(scores: Sequence[TokenScore], num_top: int) -> dict[str, NDArray[Any]]:
    pairs = np.array([score.top for score in scores], np.float64).reshape(1, len(scores), num_top, 2)
    return {
        "prompt_log_probs": np.array([[score.log_prob for score in scores]], np.float32),
        "prompt_top_log_prob_ids": pairs[..., 0].astype(np.int32),
        "prompt_top_log_probs": pairs[..., 1].astype(np.float32),
    }
