"""The generations that a worker has asked for, in memory that outlives it: its successor stops them.

Nobody else can: Triton 2.51 does not tell an ensemble's engine that a connection is gone.
"""

import mmap
import os
from collections.abc import Mapping

VARIABLE = "RUNNING_IDS_FD"
# Of a UUID, in hexadecimal digits.
ID_BYTES = 32
# Beyond so many at once a worker's further ids are not kept.
NUM_SLOTS = 8192
MAX_WORKERS = 128
_REGION_BYTES = NUM_SLOTS * ID_BYTES
_EMPTY = bytes(ID_BYTES)


def new_memory() -> int:
    """A descriptor for all workers of a frontend and those after them; unused pages take nothing."""
    fd = os.memfd_create("running-ids")
    os.ftruncate(fd, MAX_WORKERS * _REGION_BYTES)
    return fd


def inherited_memory(variables: Mapping[str, str]) -> int:
    """That of the process which starts frontends again, or one that ends with this one."""
    fd = variables.get(VARIABLE)
    return new_memory() if fd is None else int(fd)


class RunningIds:
    """Those of one worker."""

    def __init__(self, memory: int, worker: int = 0) -> None:
        self._region = mmap.mmap(memory, _REGION_BYTES, offset=worker * _REGION_BYTES)
        self._slots: dict[str, int] = {}
        self._free = list(range(NUM_SLOTS))

    def take_over(self) -> list[str]:
        """The ids that a worker of before has left; to be called before the first is added."""
        left = [self._region[start : start + ID_BYTES] for start in range(0, _REGION_BYTES, ID_BYTES)]
        self._region[:] = bytes(_REGION_BYTES)
        return [found.rstrip(b"\0").decode() for found in left if found != _EMPTY]

    def add(self, request_id: str) -> None:
        if self._free:
            slot = self._slots[request_id] = self._free.pop()
            self._region[slot * ID_BYTES : (slot + 1) * ID_BYTES] = request_id.encode().ljust(ID_BYTES, b"\0")

    def remove(self, request_id: str) -> None:
        slot = self._slots.pop(request_id, None)
        if slot is not None:
            self._region[slot * ID_BYTES : (slot + 1) * ID_BYTES] = _EMPTY
            self._free.append(slot)
