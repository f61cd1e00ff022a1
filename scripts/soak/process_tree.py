"""The processes below another one."""

from contextlib import suppress
from pathlib import Path


def children(pid: int, part_of_command: str) -> list[int]:
    """Living children of the process whose command line has that part."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        # Gone in the meantime.
        with suppress(FileNotFoundError, ProcessLookupError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if parent == pid and part_of_command in command:
                found.append(int(folder.name))
    return found
