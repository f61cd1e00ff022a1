"""The committed model repository, as it is, on a tritonserver with its own backends alone."""

import os
import subprocess
from contextlib import closing
from pathlib import Path

from build.checkpoint.source import EMBEDDED_NAME
from build.repository import COMMITTED
from serving import engine
from tests.integration.engine_client import EngineClient
from tests.integration.tried_server import ready, start_tritonserver


def test_it_loads_and_generates(tmp_path: Path) -> None:
    chosen = engine.choose({"NAME": EMBEDDED_NAME})
    if chosen.build_command:
        subprocess.run(chosen.build_command, env=os.environ, check=True)
    server = start_tritonserver(COMMITTED, tmp_path / "tritonserver.log")
    with ready(server), closing(EngineClient(server.address)) as client:
        (response,) = client.generate(input_ids=[1, 2, 3], request_output_len=5, exclude_input_in_output=True)
        assert (response.is_final, response.error, len(response.ids)) == (True, "", 5)
