import socket
from pathlib import Path

import pytest

from build.errors import Failure
from serving.node import pod_group
from serving.node.pod_group import PodGroup, placement, read_pod_group, sshd_command, wait_for_workers

POD = {"LWS_GROUP_SIZE": "3", "LWS_LEADER_ADDRESS": "demo-triton-0.demo-triton.serving", "SSH_KEYS": "/keys"}


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    (tmp_path / "id_ed25519.pub").write_text("ssh-ed25519 AAAA comment\n")
    return tmp_path


def test_the_pods_are_known_by_the_names_that_the_set_gives_them() -> None:
    group = read_pod_group(POD)
    assert group.hosts == (
        "demo-triton-0.demo-triton.serving",
        "demo-triton-0-1.demo-triton.serving",
        "demo-triton-0-2.demo-triton.serving",
    )
    assert group.keys == Path("/keys")


@pytest.mark.parametrize("missing", POD)
def test_a_container_outside_of_a_group_is_told_so(missing: str) -> None:
    with pytest.raises(Failure, match="LeaderWorkerSet"):
        read_pod_group({name: value for name, value in POD.items() if name != missing})


def test_ranks_fill_the_leader_first_which_is_called_by_its_own_name(keys: Path, tmp_path: Path) -> None:
    options = placement(PodGroup(("leader.set", "worker.set"), keys), 8, tmp_path)
    hosts = Path(options[options.index("--default-hostfile") + 1]).read_text()
    assert hosts == f"{socket.gethostname()} slots=8\nworker.set slots=8\n"


def test_the_leader_trusts_no_host_but_those_with_the_key(keys: Path, tmp_path: Path) -> None:
    options = placement(PodGroup(("leader.set", "worker.set"), keys), 8, tmp_path)
    agent = options[options.index("plm_rsh_agent") + 1]
    assert "StrictHostKeyChecking=yes" in agent
    assert (tmp_path / "known_hosts").read_text() == "* ssh-ed25519 AAAA comment\n"


def test_full_names_are_kept(keys: Path, tmp_path: Path) -> None:
    options = placement(PodGroup(("leader.set", "worker.set"), keys), 8, tmp_path)
    assert options[options.index("orte_keep_fqdn_hostnames") + 1] == "1"


def test_sessions_of_a_worker_have_its_environment(tmp_path: Path) -> None:
    variables = {"LD_LIBRARY_PATH": "/a:/b", "NCCL_IB_HCA": "mlx5 0", "TEXT": "two\nlines", "QUOTED": 'a"b'}
    command = sshd_command(Path("/keys"), variables, tmp_path)
    config = Path(command[-1]).read_text().splitlines()
    assert 'SetEnv "LD_LIBRARY_PATH=/a:/b" "NCCL_IB_HCA=mlx5 0"' in config
    assert {"Port 2222", "PasswordAuthentication no", "HostKey /keys/id_ed25519"} <= set(config)


def test_the_leader_waits_for_the_workers(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setattr(pod_group, "SSH_PORT", listener.getsockname()[1])
        wait_for_workers(PodGroup(("leader", "127.0.0.1"), keys), patience_s=10)


def test_a_worker_that_never_comes_is_named(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setattr(pod_group, "SSH_PORT", port)
    with pytest.raises(Failure, match=r"127\.0\.0\.1 does not answer"):
        wait_for_workers(PodGroup(("leader", "127.0.0.1"), keys), patience_s=0)
