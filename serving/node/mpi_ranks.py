"""TensorRT-LLM's leader mode: mpirun starts one tritonserver a rank; rank 0 serves, the others compute."""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from build.errors import Failure

LEADER = Path(__file__).with_name("rank_leader.py")
# What the ranks may take to leave when no request is running any more.
UNLOADING_S = 20

# What only the rank that serves is told.
_OF_THE_LEADER = ("--grpc-", "--model-control-mode=", "--allow-metrics=", "--metrics-")
_OF_THE_OTHERS = (
    "--allow-grpc=false",
    "--allow-metrics=false",
    "--model-control-mode=explicit",
    "--load-model=tensorrt_llm",
)


def mpirun_command(
    server: Sequence[str], world_size: int, grace_s: int, placement: Sequence[str] = ()
) -> list[str]:
    """The launch of TensorRT-LLM 1.2.1 (triton_backend/scripts/launch_triton_server.py), ranks in order.

    SIGTERM ends them by way of rank_leader.py. server: the command line of rank 0. placement: options of
    mpirun that say where the ranks run, without which they run here. Raises Failure where there is no mpirun.
    """
    # Its absolute path is what other nodes look for it by.
    mpirun = shutil.which("mpirun")
    if mpirun is None:
        raise Failure("an engine of several ranks is started by mpirun, and there is none on the PATH")
    command = [sys.executable, str(LEADER), str(grace_s + UNLOADING_S), mpirun]
    command += [*(["--allow-run-as-root"] if os.geteuid() == 0 else []), *placement]
    # Open MPI binds each rank of two to one core, where all threads of rank 0's server and models would be.
    command += ["--bind-to", "none"]
    # For a SIGTERM of mpirun's own: ranks get SIGKILL a second later unless told otherwise.
    command += ["-mca", "odls_base_sigkill_timeout", str(grace_s)]
    for rank in range(world_size):
        command += [*([":"] if rank else []), "-n", "1", *(_without_requests(server) if rank else server)]
    return command


def _without_requests(server: Sequence[str]) -> list[str]:
    """A rank that takes its work from rank 0, and loads nothing but the engine."""
    kept = [part for part in server if not part.startswith(_OF_THE_LEADER)]
    return [*kept, *_OF_THE_OTHERS]
