"""An engine folder appears whole or not at all."""

import errno
import os
import threading
from pathlib import Path

import pytest

from build.engine_folder import (
    copy_file,
    engine_folder,
    link_or_copy,
    link_or_copy_tree,
    locked,
    require_space,
    staged,
)
from build.errors import BuildError


def refuse_to_wait(owner: str) -> None:
    raise AssertionError(f"waits for {owner}")


def write_half(folder: Path, error: BaseException) -> None:
    with staged(folder) as partial:
        (partial / "file").write_text("half")
        raise error


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_staged_folder_is_published(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    with staged(folder) as partial:
        (partial / "file").write_text("new")
        assert not folder.exists()
    assert (folder / "file").read_text() == "new"
    assert names(tmp_path) == {"tiny"}


def test_staged_folder_replaces_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "old").write_text("old")
    with staged(folder) as partial:
        (partial / "file").write_text("new")
    assert names(folder) == {"file"}
    assert names(tmp_path) == {"tiny"}


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), KeyboardInterrupt(), SystemExit(143)]
)
def test_failure_leaves_the_old_folder_alone(error: BaseException, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    folder.mkdir()
    with pytest.raises(type(error)):
        write_half(folder, error)
    assert names(tmp_path) == {"tiny"}
    assert names(folder) == set()


def test_leftovers_of_killed_builds_are_removed(tmp_path: Path) -> None:
    others = {".tiny.partial-7.partial-8", ".other.partial-5", ".tiny.partial-x", "tiny"}
    for name in others | {".tiny.partial-41", ".tiny.replaced-42"}:
        (tmp_path / name).mkdir()
    with locked(tmp_path / "tiny", refuse_to_wait):
        pass
    assert names(tmp_path) == others | {".tiny.lock"}


def test_engine_of_a_build_killed_while_publishing_comes_back(tmp_path: Path) -> None:
    (tmp_path / ".tiny.replaced-42").mkdir()
    (tmp_path / ".tiny.replaced-42" / "old").write_text("old")
    with locked(tmp_path / "tiny", refuse_to_wait):
        assert names(tmp_path / "tiny") == {"old"}


def test_second_build_waits_and_says_for_whom(tmp_path: Path) -> None:
    waiting, entered, said = threading.Event(), threading.Event(), list[str]()

    def second() -> None:
        def say(text: str) -> None:
            said.append(text)
            waiting.set()

        with locked(tmp_path / "tiny", say):
            entered.set()

    thread = threading.Thread(target=second)
    with locked(tmp_path / "tiny", refuse_to_wait):
        thread.start()
        assert waiting.wait(10)
        assert not entered.is_set()
    thread.join(10)
    assert entered.is_set()
    assert said == [f"Waiting for process {os.getpid()}, which builds this too ..."]


def test_builds_of_different_names_do_not_wait(tmp_path: Path) -> None:
    with locked(tmp_path / "one", refuse_to_wait), locked(tmp_path / "two", refuse_to_wait):
        pass


@pytest.mark.parametrize("name", ["a", "llama-3.1_8b", "A" * 100])
def test_plain_names_are_folders(name: str, tmp_path: Path) -> None:
    assert engine_folder(tmp_path, name) == tmp_path / name


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", ".hidden", "a b", "a\n", "ä", "A" * 101])
def test_other_names_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="NAME: "):
        engine_folder(tmp_path, name)


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP])
def test_disks_without_hard_links_get_copies(number: int, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("engine")
    link_or_copy(tmp_path / "old", tmp_path / "linked")
    assert (tmp_path / "linked").stat().st_ino == (tmp_path / "old").stat().st_ino

    def refuse(source: Path, target: Path) -> None:
        raise OSError(number, "no links here")

    link_or_copy(tmp_path / "old", tmp_path / "copied", refuse)
    assert (tmp_path / "copied").read_text() == "engine"
    assert (tmp_path / "copied").stat().st_ino != (tmp_path / "old").stat().st_ino


def test_other_failures_to_link_are_failures(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        link_or_copy(tmp_path / "absent", tmp_path / "new")


def test_trees_are_linked_whole(tmp_path: Path) -> None:
    (tmp_path / "old" / "1" / "empty").mkdir(parents=True)
    (tmp_path / "old" / "1" / "engine").write_text("engine")
    link_or_copy_tree(tmp_path / "old", tmp_path / "new" / "tree")
    assert (tmp_path / "new" / "tree" / "1" / "engine").stat().st_nlink == 2
    assert (tmp_path / "new" / "tree" / "1" / "empty").is_dir()


@pytest.mark.parametrize("size", [5, 10_000_000])
def test_a_full_disk_is_told_by_the_file_that_could_not_be_written(size: int, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"x" * size)
    target.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device") as caught:
        copy_file(source, target)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(target))


def test_other_failures_to_copy_name_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        copy_file(tmp_path / "absent", tmp_path / "new")
    assert caught.value.filename == str(tmp_path / "absent")


def test_too_little_disk_is_refused(tmp_path: Path) -> None:
    require_space(tmp_path, 1)
    with pytest.raises(BuildError, match=r"has \d+ MB of free disk, the engine needs 1000000000 MB"):
        require_space(tmp_path, 10**15)
