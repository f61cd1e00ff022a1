"""The processes that tritonserver runs its models in: when one is gone, that is known at once.

Triton 2.51 says that it is ready even then, and fails what waits for the model one batch a second.
"""

import os
import re
import select
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
# Python's backend and engine_process: the model's name is in their command lines.
MODEL_PROCESS = re.compile(
    r"triton_python_backend_stub\0.*?/([^/\0]+)/\d+/model\.py|engine_host\.py\0([^\0]+)"
)


class ModelProcesses:
    """Those below a process, as they are now."""

    def __init__(self, root: int) -> None:
        self._models: dict[int, str] = {}
        """By pidfd, which can be read once its process has ended."""
        for pid in _descendants(root):
            # One that has ended meanwhile is none of a server that is up.
            with suppress(ProcessLookupError, FileNotFoundError):
                if found := MODEL_PROCESS.search((PROC / str(pid) / "cmdline").read_text()):
                    self._models[os.pidfd_open(pid)] = found[1] or found[2]

    @property
    def names(self) -> list[str]:
        return sorted(self._models.values())

    def complaint(self) -> str | None:
        ended, _, _ = select.select(list(self._models), [], [], 0)
        names = ", ".join(sorted(self._models[fd] for fd in ended))
        return f"the process of its model {names} has ended" if names else None

    def begin_anew(self) -> None:
        """A process that has ended does not come back."""

    def close(self) -> None:
        for fd in self._models:
            os.close(fd)
        self._models = {}


def _descendants(root: int) -> Iterator[int]:
    children: dict[int, list[int]] = {}
    for stat in PROC.glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            pid, rest = int(stat.parent.name), stat.read_text().rpartition(") ")[2]
            children.setdefault(int(rest.split()[1]), []).append(pid)
    found = list(children.get(root, ()))
    while found:
        pid = found.pop()
        yield pid
        found += children.get(pid, ())
