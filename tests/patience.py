"""Waiting for what a busy machine may be slow to bring."""

import time
from collections.abc import Callable
from pathlib import Path

# Much longer than anything takes that works: it is only over when something has failed.
PATIENCE_S = 60.0


def wait_until(
    condition: Callable[[], object], complaint: Callable[[], object] = str, patience_s: float = PATIENCE_S
) -> None:
    """Returns when the condition holds; in the end the complaint tells what there was instead."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, complaint()
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()
