"""The pods of one engine in a LeaderWorkerSet, and how its leader reaches the others: by ssh, without root.

One ed25519 key, mounted into every pod, is both what the leader shows and what the workers are known by. The
pods need no right to the Kubernetes API.
"""

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from build.errors import Failure

SSH_PORT = 2222
_SSHD = "/usr/sbin/sshd"
_KEY = "id_ed25519"
# Nodes that are added for the group take minutes, and pull an image of 14 GB.
_PATIENCE_S = 1800.0
_PAUSE_S = 2.0


@dataclass(frozen=True)
class PodGroup:
    """Host names, the leader's first; keys is the folder of the ssh key."""

    hosts: tuple[str, ...]
    keys: Path


def read_pod_group(variables: Mapping[str, str]) -> PodGroup:
    """From what LeaderWorkerSet puts into its pods' environment; raises Failure."""
    try:
        size, leader = int(variables["LWS_GROUP_SIZE"]), variables["LWS_LEADER_ADDRESS"]
        keys = Path(variables["SSH_KEYS"])
    except (KeyError, ValueError) as error:
        raise Failure(f"this is no pod of a LeaderWorkerSet with an ssh key: {error}") from error
    name, _, domain = leader.partition(".")
    return PodGroup((leader, *(f"{name}-{index}.{domain}" for index in range(1, size))), keys)


def wait_for_workers(group: PodGroup, patience_s: float = _PATIENCE_S) -> None:
    """Returns when every worker takes connections; raises Failure when one does not in time."""
    deadline = time.monotonic() + patience_s
    for host in group.hosts[1:]:
        while not _answers(host):
            if time.monotonic() > deadline:
                raise Failure(f"{host} does not answer on port {SSH_PORT} after {patience_s:g} s")
            time.sleep(_PAUSE_S)


def placement(group: PodGroup, gpus_per_node: int, scratch: Path) -> list[str]:
    """Options of mpirun that put gpus_per_node ranks on each pod in order; writes two files into scratch."""
    # By its own name the leader is known to be this machine, where no sshd runs.
    hosts = (socket.gethostname(), *group.hosts[1:])
    hostfile = scratch / "hosts"
    hostfile.write_text("".join(f"{host} slots={gpus_per_node}\n" for host in hosts))
    known_hosts = scratch / "known_hosts"
    known_hosts.write_text(f"* {(group.keys / f'{_KEY}.pub').read_text()}")
    agent = [
        "ssh",
        *("-p", str(SSH_PORT), "-i", str(group.keys / _KEY)),
        *("-o", f"UserKnownHostsFile={known_hosts}", "-o", "StrictHostKeyChecking=yes"),
        *("-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"),
    ]
    return [
        *("--default-hostfile", str(hostfile), "--map-by", "slot"),
        *("-mca", "plm_rsh_agent", " ".join(agent)),
        # Without a tree the leader alone connects: workers have no known_hosts.
        *("-mca", "plm_rsh_no_tree_spawn", "1"),
        # Open MPI 4 cuts names at the first dot, and the rest is where Kubernetes knows a pod by its name.
        *("-mca", "orte_keep_fqdn_hostnames", "1"),
    ]


def sshd_command(keys: Path, variables: Mapping[str, str], scratch: Path) -> list[str]:
    """What a worker runs: sessions get its own environment, with the container's paths of libraries."""
    lines = [
        f"Port {SSH_PORT}",
        f"HostKey {keys / _KEY}",
        f"AuthorizedKeysFile {keys / f'{_KEY}.pub'}",
        "PidFile none",
        "UsePAM no",
        # The key is root's, as the kubelet mounts it.
        "StrictModes no",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "AllowTcpForwarding no",
        "X11Forwarding no",
        f"SetEnv {_environment(variables)}",
    ]
    config = scratch / "sshd_config"
    config.write_text("\n".join(lines) + "\n")
    return [_SSHD, "-D", "-e", "-f", str(config)]


def _environment(variables: Mapping[str, str]) -> str:
    """sshd takes one line of them; what fits into none is nothing that a rank reads."""
    fitting = {name: value for name, value in variables.items() if "\n" not in value and '"' not in value}
    return " ".join(f'"{name}={value}"' for name, value in sorted(fitting.items()))


def _answers(host: str) -> bool:
    try:
        with socket.create_connection((host, SSH_PORT), timeout=_PAUSE_S):
            return True
    except OSError:
        return False
