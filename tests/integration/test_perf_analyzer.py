"""perf_analyzer against the live stack, in both ways, as `make perf` runs it."""

import os
import subprocess
import sys

import pytest

from tests.integration.live_stack import API_KEY, REPOSITORY, LiveStack

TIMEOUT_S = 180


@pytest.mark.slow
def test_perf_measures_triton_and_the_frontend(live_stack: LiveStack) -> None:
    environment = os.environ | {
        "PORT": live_stack.url.rpartition(":")[2],
        "TRITON_GRPC_PORT": live_stack.triton.rpartition(":")[2],
        "API_KEYS": API_KEY,
        "CONCURRENCY": "2",
    }
    done = subprocess.run(
        [sys.executable, "-m", "scripts.perf"],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert API_KEY not in done.stdout
    grpc_part, frontend_part = done.stdout.split("frontend at ")
    for part in (grpc_part, frontend_part):
        assert "Concurrency: 2, throughput:" in part
        assert "infer/sec" in part
