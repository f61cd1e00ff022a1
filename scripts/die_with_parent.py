"""Runs a command that gets a signal when the process that started it dies, however that dies.

python die_with_parent.py PARENT_PID SIGNAL COMMAND [ARGUMENT ...]
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, number, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    if ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number):
        sys.exit("prctl refused PR_SET_PDEATHSIG")
    if os.getppid() != parent:
        sys.exit(f"process {parent} died before {command[0]} could start")
    os.execvp(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main()
