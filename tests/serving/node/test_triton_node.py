"""Only the command lines are looked at: nothing is started."""

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from build.errors import Failure
from build.llm_api.repository import MODEL
from build.paths import ROOT, VENV
from serving import tritonserver
from serving.node.triton_node import Order, read_order, server_command, server_environment
from tests.build.compiled_engine import engine_config, write_compiled_engine


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "served" / "model_repository").mkdir(parents=True)
    return tmp_path / "served"


@pytest.fixture
def mpirun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    program = tmp_path / "bin" / "mpirun"
    program.parent.mkdir()
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    return str(program)


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """A group of the leader and one worker that answers; the leader's environment."""
    (tmp_path / "id_ed25519.pub").write_text("ssh-ed25519 AAAA\n")
    connect = socket.create_connection
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # Every pod of the set is this machine.
        monkeypatch.setattr(
            socket, "create_connection", lambda _, timeout: connect(listener.getsockname(), timeout=timeout)
        )
        yield {"LWS_GROUP_SIZE": "2", "LWS_LEADER_ADDRESS": "set-0.set.space", "SSH_KEYS": str(tmp_path)}


def test_an_engine_of_one_rank_is_served_by_tritonserver_itself(folder: Path, tmp_path: Path) -> None:
    write_compiled_engine(folder / "engine")
    command = server_command(folder, 0, {}, tmp_path)
    assert command == tritonserver.command(folder / "model_repository", 8001, "0.0.0.0")


def test_so_is_one_that_is_not_compiled(folder: Path, tmp_path: Path) -> None:
    assert server_command(folder, 0, {}, tmp_path)[0] == tritonserver.command(folder, 8001)[0]


def test_an_engine_of_several_ranks_is_served_under_mpirun(folder: Path, tmp_path: Path, mpirun: str) -> None:
    write_compiled_engine(folder / "engine", engine_config(tp=8))
    command = server_command(folder, 0, {}, tmp_path)
    assert mpirun in command
    assert command.count("--load-model=tensorrt_llm") == 7
    assert "--default-hostfile" not in command


def test_one_over_two_nodes_is_placed_on_them(
    folder: Path, tmp_path: Path, mpirun: str, worker: dict[str, str]
) -> None:
    write_compiled_engine(folder / "engine", engine_config(tp=8, pp=2))
    command = server_command(folder, 8, worker, tmp_path)
    assert command.count("--load-model=tensorrt_llm") == 15
    hosts = Path(command[command.index("--default-hostfile") + 1]).read_text().splitlines()
    assert hosts == [f"{socket.gethostname()} slots=8", "set-0-1.set.space slots=8"]


@pytest.mark.parametrize(("tp", "pp", "gpus"), [(8, 1, 8), (4, 1, 8), (8, 2, 4)])
def test_an_engine_that_does_not_fill_the_nodes_is_refused(
    folder: Path, tmp_path: Path, worker: dict[str, str], tp: int, pp: int, gpus: int
) -> None:
    write_compiled_engine(folder / "engine", engine_config(tp=tp, pp=pp))
    with pytest.raises(Failure, match=f"has {tp * pp} ranks"):
        server_command(folder, gpus, worker, tmp_path)


def test_an_engine_for_other_nodes_is_refused(folder: Path, tmp_path: Path, worker: dict[str, str]) -> None:
    write_compiled_engine(folder / "engine", engine_config(tp=8))
    with pytest.raises(Failure, match="built for 8 GPUs per node, and these have 4"):
        server_command(folder, 4, worker, tmp_path)


def test_a_folder_without_models_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="model_repository"):
        server_command(tmp_path, 0, {}, tmp_path)


def test_a_broken_engine_is_refused_by_what_it_lacks(folder: Path, tmp_path: Path) -> None:
    write_compiled_engine(folder / "engine", engine_config(tp=2))
    (folder / "engine" / "rank1.engine").unlink()
    with pytest.raises(Failure, match=r"rank1\.engine"):
        server_command(folder, 0, {}, tmp_path)


def test_the_command_line() -> None:
    assert read_order(["--worker"]) == Order(None, 0)
    assert read_order(["--engine", "/e", "--gpus-per-node", "8"]) == Order(Path("/e"), 8)
    own = ["--engine", "/e", "--address", "127.0.0.1", "--port", "9001"]
    assert read_order(own) == Order(Path("/e"), 0, "127.0.0.1", 9001)


@pytest.mark.parametrize(
    "arguments", [[], ["--engine", "/e", "--worker"], ["--engine", "/e", "--gpus-per-node", "x"]]
)
def test_a_bad_command_line_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        read_order(arguments)


def test_it_needs_the_standard_library_alone() -> None:
    """`make serve` runs it with the Python of NVIDIA's image, which has none of this project's packages."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import serving.node.triton_node"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True)


def test_an_llm_api_engine_gets_the_images_own_python(folder: Path, tmp_path: Path) -> None:
    variables = {"PATH": "/usr/bin", "PYTHONPATH": "/opt/tensorrt_llm", "HOME": str(tmp_path)}
    assert "PYTHONPATH" not in server_environment(folder, variables)
    # The module by which it is known, as build/ copies it.
    shutil.copytree(MODEL / "1", folder / "model_repository" / "tensorrt_llm" / "1")
    assert server_environment(folder, variables) == variables


def test_so_do_a_compiled_engine_and_a_worker(folder: Path, tmp_path: Path) -> None:
    variables = {
        "PATH": f"{VENV}/bin:/usr/bin",
        "LD_LIBRARY_PATH": "/opt/tritonserver",
        "HOME": str(tmp_path),
    }
    write_compiled_engine(folder / "engine")
    for served in (folder, None):
        environment = server_environment(served, variables)
        assert environment == variables | {"PATH": "/usr/bin"}
