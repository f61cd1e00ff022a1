import sys
from pathlib import Path

import pytest

from build.errors import Failure
from serving.node.mpi_ranks import LEADER, mpirun_command

SERVER = [
    "/opt/tritonserver/bin/tritonserver",
    "--model-repository=/engines/x/model_repository",
    "--grpc-address=0.0.0.0",
    "--grpc-port=8001",
    "--allow-http=false",
    "--allow-metrics=true",
    "--metrics-address=0.0.0.0",
    "--metrics-port=8002",
    "--model-control-mode=none",
]


@pytest.fixture
def mpirun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    program = tmp_path / "mpirun"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return str(program)


def ranks(command: list[str]) -> list[list[str]]:
    """The command line of each rank, of which mpirun's own options are cut off."""
    start = command.index("-n")
    parts: list[list[str]] = [[]]
    for part in command[start:]:
        if part == ":":
            parts.append([])
        else:
            parts[-1].append(part)
    return parts


def test_rank_0_serves_and_the_others_load_the_engine_alone(mpirun: str) -> None:
    command = mpirun_command(SERVER, 3, 10)
    assert command[:4] == [sys.executable, str(LEADER), "30", mpirun]
    first, *others = ranks(command)
    assert first == ["-n", "1", *SERVER]
    assert len(others) == 2
    for other in others:
        assert other == [
            "-n",
            "1",
            SERVER[0],
            "--model-repository=/engines/x/model_repository",
            "--allow-http=false",
            "--allow-grpc=false",
            "--allow-metrics=false",
            "--model-control-mode=explicit",
            "--load-model=tensorrt_llm",
        ]


def test_ranks_get_time_to_end_and_stand_where_they_are_put(mpirun: str) -> None:
    command = mpirun_command(SERVER, 2, 25, ["--default-hostfile", "/tmp/hosts"])
    options = command[: command.index("-n")]
    assert options[options.index("--default-hostfile") + 1] == "/tmp/hosts"
    assert options[options.index("--bind-to") + 1] == "none"
    assert options[options.index("odls_base_sigkill_timeout") + 1] == "25"


def test_a_machine_without_mpirun_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Failure, match="mpirun"):
        mpirun_command(SERVER, 2, 10)
