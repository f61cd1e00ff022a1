"""Makes an engine folder appear whole or not at all, one build of a name at a time."""

import errno
import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from build.errors import BuildError

# What an engine folder holds.
ENGINE, TOKENIZER, REPOSITORY = "engine", "tokenizer", "model_repository"
MANIFEST = "manifest.json"

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def engine_folder(engines: Path, name: str) -> Path:
    """The folder of this name; raises BuildError for a name that is no plain folder name."""
    if not _NAME.fullmatch(name):
        raise BuildError(
            f"NAME: {name!r} must be letters, digits, '.', '_' and '-', starting with a letter or digit."
        )
    return engines / name


@contextmanager
def locked(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Holds the folder's lock and clears away what killed builds left; says whom it waits for."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("a+", encoding="utf-8") as lock:
        _acquire(lock, say)
        _remove_leftovers(folder)
        yield


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """A new folder that takes the place of `folder` at the end, and vanishes on any failure."""
    partial = folder.parent / f".{folder.name}.partial-{os.getpid()}"
    partial.mkdir()
    try:
        yield partial
        _publish(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def link_or_copy(
    source: str | Path, target: str | Path, hard_link: Callable[[Path, Path], None] = os.link
) -> None:
    """Links a file that is never written again; copies it where a disk has no hard links."""
    try:
        hard_link(Path(source), Path(target))
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        copy_file(Path(source), Path(target))


def link_or_copy_tree(source: Path, target: Path) -> None:
    """All files below a folder; the first failure is raised as it is, where shutil.copytree lists texts."""
    target.mkdir(parents=True)
    for path in sorted(source.rglob("*")):
        if path.is_dir():
            (target / path.relative_to(source)).mkdir()
        else:
            link_or_copy(path, target / path.relative_to(source))


def copy_file(source: Path, target: Path) -> None:
    """As shutil.copyfile, which names the source, or nothing, when there is no room for the target."""
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise OSError(error.errno, error.strerror, str(target)) from error


def require_space(folder: Path, needed_bytes: int) -> None:
    """Raises BuildError when the folder's disk has less free."""
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        free, needed = (f"{size / 1e6:.0f} MB" for size in (free_bytes, needed_bytes))
        raise BuildError(f"{folder} has {free} of free disk, the engine needs {needed}.")


def _acquire(lock: IO[str], say: Callable[[str], None]) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        say(f"Waiting for process {lock.read().strip()}, which builds this too ...")
        fcntl.flock(lock, fcntl.LOCK_EX)
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()


def _remove_leftovers(folder: Path) -> None:
    """Who holds the lock is the only build of this name, so these folders are a dead one's."""
    leftover = re.compile(rf"\.{re.escape(folder.name)}\.(partial|replaced)-\d+")
    for path in list(folder.parent.iterdir()):
        found = leftover.fullmatch(path.name)
        if found and found[1] == "replaced" and not folder.exists():
            path.rename(folder)
        elif found:
            shutil.rmtree(path)


def _publish(partial: Path, folder: Path) -> None:
    if not folder.exists():
        partial.rename(folder)
        return
    replaced = folder.parent / f".{folder.name}.replaced-{os.getpid()}"
    folder.rename(replaced)
    partial.rename(folder)
    shutil.rmtree(replaced)
