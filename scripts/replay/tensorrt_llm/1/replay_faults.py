"""What can be made to go wrong, for all requests by a parameter or for one by a directive."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Tensors: TypeAlias = dict[str, NDArray[Any]]

# Instead of the next response: an internal error; silence until a stop request; the end without a response;
# the end of the whole process.
INSTEAD = frozenset({"error", "hang", "no_response", "die"})
# In place of the last response: the same without its final flag.
NEVER_FINAL = "never_final"


def _wrong_dtype(tensors: Tensors) -> None:
    tensors["output_ids"] = tensors["output_ids"].astype(np.float32)


def _wrong_shape(tensors: Tensors) -> None:
    tensors["output_ids"] = tensors["output_ids"].reshape(-1)


def _missing_tensor(tensors: Tensors) -> None:
    del tensors["output_ids"]


# Done to every response from then on.
_CHANGES: Mapping[str, Callable[[Tensors], None]] = {
    "wrong_dtype": _wrong_dtype,
    "wrong_shape": _wrong_shape,
    "missing_tensor": _missing_tensor,
}
KINDS = (*sorted(INSTEAD), NEVER_FINAL, *_CHANGES)


@dataclass(frozen=True, slots=True)
class Fault:
    """Comes when so many tokens of a sequence were sent."""

    kind: str
    after: int = 0

    def replaces_response(self, num_sent: int) -> bool:
        return self.kind in INSTEAD and num_sent >= self.after

    def change(self, tensors: Tensors, num_sent: int) -> None:
        if num_sent >= self.after and self.kind in _CHANGES:
            _CHANGES[self.kind](tensors)


def read_fault(kind: str, after: int) -> Fault | None:
    """None for an empty kind; raises ValueError for an unknown one."""
    if not kind:
        return None
    if kind not in KINDS:
        raise ValueError(f"must be one of {', '.join(KINDS)}, got {kind!r}")
    return Fault(kind, after)


def die() -> None:
    """As a process that is killed: no clean-up, no answer."""
    os._exit(1)
