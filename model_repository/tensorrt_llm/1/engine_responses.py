"""The tensors of one response, by the contract of TensorRT-LLM's C++ backend."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from engine_request import EngineRequest
from numpy.typing import NDArray
from token_scores import TopLogProbs


def response_tensors(
    request: EngineRequest, ids: Sequence[int], log_probs: Sequence[float], top: Sequence[TopLogProbs]
) -> dict[str, NDArray[Any]]:
    """Takes ids and top log-probs of this response, but the log-probs of all ids generated so far.

    Shapes, for n ids, m log-probs and k top ones: output_ids [1, 1, n], sequence_length and cum_log_probs
    [1, 1], output_log_probs [1, 1, m], top_log_prob_ids and top_log_probs [1, n, k], the counts [1].
    """
    tensors: dict[str, NDArray[Any]] = {
        "output_ids": np.array(ids, np.int32).reshape(1, 1, -1),
        "sequence_length": np.array([[len(ids)]], np.int32),
    }
    if request.returns_log_probs:
        tensors["output_log_probs"] = np.array(log_probs, np.float32).reshape(1, 1, -1)
        tensors["cum_log_probs"] = np.array([[sum(log_probs)]], np.float32)
    if request.num_top_log_probs:
        pairs = np.array(top, np.float64).reshape(1, -1, request.num_top_log_probs, 2)
        tensors["top_log_prob_ids"] = pairs[..., 0].astype(np.int32)
        tensors["top_log_probs"] = pairs[..., 1].astype(np.float32)
    if request.returns_num_input_tokens:
        tensors["num_input_tokens"] = np.array([request.num_prompt_tokens], np.int32)
    if request.returns_num_output_tokens:
        tensors["num_output_tokens"] = np.array([len(ids)], np.int32)
    return tensors
