"""Processes confined to a part of a core each, by the kernel's cgroups: two cores do for many so."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

# Of version 2 and of version 1 (cgroup-v2.rst, scheduler/sched-bwc.rst in the kernel's documentation).
_MOUNTS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/cpu"))
# Short: a process that has used its part up stands still until the next period.
_PERIOD_US = 10_000

Confine = Callable[[int], None]


def find_cgroups(mounts: Sequence[Path] = _MOUNTS) -> Path | None:
    """The folder whose groups limit CPU time; None where there is none, or this user may not write to it."""
    for mount in mounts:
        if os.access(mount, os.W_OK) and (_is_version_1(mount) or _is_version_2(mount)):
            return mount
    return None


@contextmanager
def core_share(cgroups: Path, share: float) -> Iterator[Confine]:
    """Confines processes, by their pids, to so much of a core each; they must have ended when it is left."""
    groups: list[Path] = []
    quota_us = round(_PERIOD_US * share)

    def confine(pid: int) -> None:
        group = cgroups / f"bench-{pid}"
        group.mkdir()
        groups.append(group)
        if _is_version_1(cgroups):
            (group / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(quota_us))
        else:
            (group / "cpu.max").write_text(f"{quota_us} {_PERIOD_US}")
        (group / "cgroup.procs").write_text(str(pid))

    try:
        yield confine
    finally:
        for group in groups:
            group.rmdir()


def _is_version_1(mount: Path) -> bool:
    return (mount / "cpu.cfs_quota_us").exists()


def _is_version_2(mount: Path) -> bool:
    controllers = mount / "cgroup.subtree_control"
    return controllers.exists() and "cpu" in controllers.read_text().split()
