"""How the next id is chosen: TensorRT-LLM's sampling inputs and defaults."""

from dataclasses import dataclass

from contract.tensors import InvalidInput, Tensors, read_finite, read_integer, read_number

# 1 / temperature overflows the logits of a smaller one, and choices become random instead of certain.
_LOWEST_TEMPERATURE = 1e-5
# Beyond these the logits leave the range of float32.
_PENALTY_RANGE = (0.01, 100.0)


@dataclass(frozen=True, slots=True)
class Sampling:
    """Values in effect: greedy when top_k is 1, and then temperature, top_p, min_p and seed are unused."""

    temperature: float = 1.0
    top_k: int = 1
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int = 0

    @property
    def is_greedy(self) -> bool:
        return self.top_k == 1


GREEDY = Sampling()


def read_sampling(tensors: Tensors) -> Sampling:
    temperature = _read_temperature(tensors)
    top_p = _read_top_p(tensors)
    top_k = read_integer(tensors, "runtime_top_k", 0, low=0)
    if temperature < _LOWEST_TEMPERATURE or (top_k == 0 and top_p is None):
        top_k = 1
    return Sampling(
        temperature=temperature,
        top_k=top_k,
        top_p=1.0 if top_p is None else top_p,
        min_p=_read_min_p(tensors),
        repetition_penalty=read_number(tensors, "repetition_penalty", 1.0, *_PENALTY_RANGE),
        presence_penalty=read_number(tensors, "presence_penalty", 0.0, -2.0, 2.0),
        frequency_penalty=read_number(tensors, "frequency_penalty", 0.0, -2.0, 2.0),
        seed=read_integer(tensors, "seed", 0, low=0),
    )


def _read_temperature(tensors: Tensors) -> float:
    temperature = read_finite(tensors, "temperature", 1.0)
    if temperature < 0:
        raise InvalidInput("temperature", f"must not be negative, got {temperature:g}.")
    return temperature


def _read_top_p(tensors: Tensors) -> float | None:
    top_p = read_finite(tensors, "runtime_top_p", 0.0)
    if top_p > 1:
        raise InvalidInput("runtime_top_p", f"must be 1 at most, got {top_p:g}.")
    return top_p if top_p > 0 else None


def _read_min_p(tensors: Tensors) -> float:
    min_p = read_finite(tensors, "min_p", 0.0)
    if not 0 <= min_p < 1:
        raise InvalidInput("min_p", f"must be at least 0 and less than 1, got {min_p:g}.")
    return min_p
