"""How many sequences the engine holds, for another process to read at any moment."""

import mmap
import struct

_LAYOUT = "<q"


class SequenceCount:
    """A number of eight bytes in a file, little-endian; without a file, nothing."""

    def __init__(self, path: str) -> None:
        self._memory: mmap.mmap | None = None
        if path:
            with open(path, "wb+") as file:
                file.write(bytes(struct.calcsize(_LAYOUT)))
                file.flush()
                self._memory = mmap.mmap(file.fileno(), 0)

    def set(self, num_sequences: int) -> None:
        if self._memory is not None:
            struct.pack_into(_LAYOUT, self._memory, 0, num_sequences)
