"""A server's log: one file a start, the last few kept."""

import re
from pathlib import Path
from typing import IO

NUM_KEPT = 5
NUM_FIRST, NUM_LAST = 3, 5
LONGEST_SHOWN = 400
# tritonserver's severity letter and date, its fatal errors, or Python's; TensorRT-LLM's, and MPI's.
ERROR = re.compile(
    r"(?:E\d{4} |error: |(?:\w+\.)*\w*(?:Error|Exception): |.*\[TensorRT-LLM\]\[ERROR\]|.*\[TRT-LLM\] \[E\]"
    r"|terminate called|.*MPI_ABORT|\[\S+:\d+\] \*\*\*)"
)

# tritonserver's own words at every start on a machine without a GPU. An engine's words of an older driver are
# no noise: they are what is wrong.
NOISE = re.compile("CudaDriverHelper|unable to create stream for ensemble")
TABLE = re.compile(r"[+|]")


def open_new(path: Path) -> IO[bytes]:
    """Opens an empty log; the one of the last start becomes path.1, that path.2, and so on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for number in range(NUM_KEPT - 1, 0, -1):
        older = path if number == 1 else _numbered(path, number - 1)
        if older.exists():
            older.replace(_numbered(path, number))
    return path.open("wb")


def told_errors(path: Path) -> str:
    """The first and the last lines of the log that tell of errors, or else just its last lines.

    What an engine says first is the cause; what Triton says of it last are consequences.
    """
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    errors = [line for line in lines if ERROR.match(line) and not NOISE.search(line)]
    shown = [line for line in lines if line.strip() and not TABLE.match(line)][-NUM_LAST:]
    if len(errors) > NUM_FIRST + NUM_LAST:
        shown = [*errors[:NUM_FIRST], "...", *errors[-NUM_LAST:]]
    elif errors:
        shown = errors
    return "\n".join(f"  {line[:LONGEST_SHOWN]}" for line in shown)


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")
