"""Ends what is left of a process's group once the process or its parent has ended.

python guardian.py PARENT_PID PID [CLEAN_UP ...]

The signal that a process gets at its parent's death (die_with_parent.py) reaches it alone: one that is
stopped or hangs lives on by it, and so do its children.
"""

import os
import select
import signal
import subprocess
import sys
from contextlib import suppress

# For an end in order, which removes shared memory.
GRACE_S = 5


def main() -> None:
    parent, process, clean_up = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with suppress(ProcessLookupError):
        end = os.pidfd_open(process)
        _wait_for_parent_or(end, parent)
        select.select([end], [], [], GRACE_S)
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)
    if clean_up and os.getppid() != parent:
        subprocess.run(clean_up, capture_output=True, check=False)


def _wait_for_parent_or(end: int, parent: int) -> None:
    with suppress(ProcessLookupError):
        parent_end = os.pidfd_open(parent)
        if os.getppid() == parent:
            select.select([end, parent_end], [], [])


if __name__ == "__main__":
    main()
