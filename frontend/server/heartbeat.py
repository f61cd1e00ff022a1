"""A process's sign of life, in memory that it shares with whoever started it.

A request that asks for life stands in the line that it is to judge: 400 clients make it late, and want of
descriptors stops it.
"""

import mmap
import os
import struct
import time
from collections.abc import Mapping

VARIABLE = "HEARTBEAT_FD"
_LAYOUT = struct.Struct("dq")


class Heartbeat:
    """When the process was last seen to work, by the monotonic clock, and how many generations it ran."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._memory = mmap.mmap(fd, _LAYOUT.size)

    @classmethod
    def new(cls) -> "Heartbeat":
        """For a process that is to be started: it inherits the descriptor, and `VARIABLE` names it."""
        fd = os.memfd_create("heartbeat")
        os.ftruncate(fd, _LAYOUT.size)
        return cls(fd)

    @classmethod
    def inherited(cls, variables: Mapping[str, str]) -> "Heartbeat":
        """That of this process, which nobody reads where nobody watches."""
        fd = variables.get(VARIABLE)
        return cls.new() if fd is None else cls(int(fd))

    def beat(self, num_running: int) -> None:
        _LAYOUT.pack_into(self._memory, 0, time.monotonic(), num_running)

    @property
    def last(self) -> float:
        """0: there was none."""
        return float(_LAYOUT.unpack_from(self._memory)[0])

    @property
    def num_running(self) -> int:
        return int(_LAYOUT.unpack_from(self._memory)[1])
