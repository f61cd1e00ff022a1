"""The largest logits and their sum of exponentials, by OpenVINO on every core."""

from dataclasses import dataclass

import numpy as np
import openvino
from contract.tensors import Logits
from decoder.cpu_inference import EXACT, compile_for_cpu
from numpy.typing import NDArray
from openvino import opset13 as ops

NUM_RANKED = 64

# The largest are sought among the groups with the largest maxima: a fourth of the time of looking everywhere.
_GROUP_SIZE = 64


@dataclass(frozen=True, slots=True)
class Ranking:
    """ids and logits have the shape [rows, ranked], largest first, log_sums [rows].

    log_sums holds log(sum(exp((logits - largest) / temperature))): small, and so exact, at any temperature.
    """

    ids: NDArray[np.int32]
    logits: Logits
    log_sums: NDArray[np.float32]


class LogitRanking:
    """Not safe to share between threads."""

    def __init__(self, vocab_size: int) -> None:
        model = _ranking_model(vocab_size)
        self._request = compile_for_cpu(model, EXACT).create_infer_request()

    def rank(self, logits: Logits, temperatures: NDArray[np.float32]) -> Ranking:
        """Takes logits [rows, vocab_size] and temperatures [rows]."""
        self._request.set_input_tensor(0, openvino.Tensor(logits, shared_memory=True))
        self._request.set_input_tensor(1, openvino.Tensor(1 / temperatures.reshape(-1, 1)))
        self._request.infer()
        return Ranking(*(self._request.get_output_tensor(index).data.copy() for index in range(3)))


def _ranking_model(vocab_size: int) -> openvino.Model:
    logits = ops.parameter([-1, vocab_size], openvino.Type.f32)
    inverse_temperatures = ops.parameter([-1, 1], openvino.Type.f32)
    ids, best = _best(logits, vocab_size)
    largest = ops.gather(best, _integers(0), _integer(1))
    scaled = ops.multiply(ops.subtract(logits, largest), inverse_temperatures)
    log_sums = ops.log(ops.reduce_sum(ops.exp(scaled), _integers(-1)))
    return openvino.Model([ids, best, log_sums.output(0)], [logits, inverse_temperatures], "ranking")


def _best(logits: openvino.Node, vocab_size: int) -> tuple[openvino.Output, openvino.Output]:
    padding = -vocab_size % _GROUP_SIZE
    if padding:
        logits = ops.pad(logits, _integers(0, 0), _integers(0, padding), "constant", np.float32(-np.inf))
    num_groups = (vocab_size + padding) // _GROUP_SIZE
    groups = ops.reshape(logits, _integers(0, num_groups, _GROUP_SIZE), True)
    maxima = ops.reduce_max(groups, _integers(-1))
    best_groups = _top(maxima, min(NUM_RANKED, num_groups), "none").output(1)
    members = ops.gather(groups, best_groups, _integer(1), 1)
    top = _top(ops.reshape(members, _integers(0, -1), True), min(NUM_RANKED, vocab_size), "value")
    places = top.output(1)
    group_size = ops.constant(_GROUP_SIZE, dtype=np.int32)
    chosen_groups = ops.gather_elements(best_groups, ops.divide(places, group_size), 1)
    ids = ops.add(ops.multiply(chosen_groups, group_size), ops.mod(places, group_size))
    return ids.output(0), top.output(0)


def _top(values: openvino.Node, count: int, order: str) -> openvino.Node:
    return ops.topk(values, ops.constant(count, dtype=np.int32), -1, "max", order, index_element_type="i32")


def _integer(value: int) -> openvino.Node:
    return ops.constant(value, dtype=np.int64)


def _integers(*values: int) -> openvino.Node:
    return ops.constant(np.array(values, dtype=np.int64))
