"""Runs a command that gets a signal when the process that started it dies, however that dies.

python die_with_parent.py PARENT_PID SIGNAL SCHEDULING_POLICY COMMAND [ARGUMENT ...]
"""

import ctypes
import os
import sys
from contextlib import suppress

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, number, policy, command = *map(int, sys.argv[1:4]), sys.argv[4:]
    if ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number):
        sys.exit("prctl refused PR_SET_PDEATHSIG")
    if os.getppid() != parent:
        sys.exit(f"process {parent} died before {command[0]} could start")
    # A sandbox may refuse, and then it is only slower.
    with suppress(OSError):
        os.sched_setscheduler(0, policy, os.sched_param(0))
    os.execvp(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main()
