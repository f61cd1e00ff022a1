"""The properties of texts, with new examples: framing, stop strings, the bytes of tokens."""

import asyncio
import os
import sys
from pathlib import Path

from build.paths import LOGS
from scripts.soak.scenarios import Soak
from serving.process import Process

LOG = LOGS / "soak-properties.log"
TESTS = (
    "tests/frontend/generation/test_generation.py",
    "tests/frontend/generation/test_stop_strings.py",
    "tests/model_repository/postprocess/test_chunk_decoder.py",
)
# The profile that tests/conftest.py registers.
PYTEST = ("-m", "pytest", "--hypothesis-profile=soak", "-p", "no:cacheprovider", "--maxfail=1")


async def check_properties(soak: Soak, until: float) -> None:
    """Passes of new examples, until the time of the event loop; one that has begun is finished."""
    loop = asyncio.get_running_loop()
    while loop.time() < until:
        soak.seen["pass of the text properties"] += 1
        if await failed(LOG, TESTS):
            soak.broken.append(f"properties: a test failed; its example is in {LOG}")
            return


async def failed(log: Path, tests: tuple[str, ...]) -> bool:
    """Whether one of the tests fails, or there are none; what pytest says is in the log."""
    passing = Process("properties", [sys.executable, *PYTEST, *tests], os.environ, log)
    try:
        while passing.exit_code is None:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.2)
    finally:
        passing.stop()
    return passing.exit_code != 0
