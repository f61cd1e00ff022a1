"""Folders that were not downloaded whole, and files that are not what they should be."""

from collections.abc import Callable
from pathlib import Path

import pytest

from build.errors import BuildError
from build.tensorrt_llm.checkpoint_files import (
    checkpoint_problems,
    read_model_config,
    source_bytes,
)
from tests.build.tensorrt_llm.llama_folder import INDEX, SHARDS, write_llama


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_llama(tmp_path / "Llama-3.1-8B-Instruct")


def test_whole_folder_is_well(model: Path) -> None:
    assert checkpoint_problems(model) == []
    sizes = [(model / shard).stat().st_size for shard in SHARDS]
    assert source_bytes(model) == sum(sizes)


def test_stale_index_beside_the_one_file_is_ignored(model: Path) -> None:
    (model / SHARDS[0]).rename(model / "model.safetensors")
    (model / SHARDS[1]).unlink()
    assert checkpoint_problems(model) == []


def make_pointer(model: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4976698672\n"
    (model / SHARDS[0]).write_text(pointer)


def cut_off(model: Path) -> None:
    path = model / SHARDS[1]
    path.write_bytes(path.read_bytes()[:-5])


def lengthen(model: Path) -> None:
    path = model / SHARDS[1]
    path.write_bytes(path.read_bytes() + b"12345")


def make_pickles(model: Path) -> None:
    for name in (INDEX, *SHARDS):
        (model / name).unlink()
    (model / "pytorch_model.bin").touch()


def leave_configs_alone(model: Path) -> None:
    """What a gated repository gives to somebody without access."""
    for name in (INDEX, *SHARDS):
        (model / name).unlink()


def lose(name: str) -> Callable[[Path], None]:
    return lambda model: (model / name).unlink()


def write(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda model: (model / name).write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "parts"),
    [
        (
            lose(SHARDS[1]),
            [f"{SHARDS[1]} is missing; download the rest: hf download meta-llama/Llama-3.1-8B-"],
        ),
        (make_pointer, ["is a Git LFS pointer", "git lfs pull"]),
        (cut_off, ["bytes; download the rest"]),
        (lengthen, ["has 5 bytes too many"]),
        (make_pickles, ["has pickles only"]),
        (leave_configs_alone, ["has no weights", "accept the license"]),
        (lose("tokenizer.json"), ["lacks tokenizer.json; download the whole repository"]),
        (write(SHARDS[0], b""), ["is not a safetensors file"]),
        (write(SHARDS[0], b"\xff" * 64), ["is not a safetensors file"]),
        (write(SHARDS[0], (2).to_bytes(8, "little") + b"[]"), ["is not a safetensors file"]),
        (write(SHARDS[0], (9).to_bytes(8, "little") + b'{"a": {}}'), ["is not a safetensors file"]),
        (write(INDEX, b"{}"), ["has no weight_map"]),
        (write(INDEX, b"not JSON"), ["has no weight_map"]),
    ],
)
def test_what_is_wrong_is_told(harm: Callable[[Path], None], parts: list[str], model: Path) -> None:
    harm(model)
    problems = checkpoint_problems(model)
    assert len(problems) == 1
    for part in parts:
        assert part in problems[0]


def test_everything_that_is_wrong_is_told_at_once(model: Path) -> None:
    make_pointer(model)
    cut_off(model)
    lose("tokenizer.json")(model)
    assert len(checkpoint_problems(model)) == 3


@pytest.mark.parametrize("content", [b"", b"[]", b"{"])
def test_unreadable_config_is_told(content: bytes, model: Path) -> None:
    (model / "config.json").write_bytes(content)
    with pytest.raises(BuildError, match=r"config\.json is not"):
        read_model_config(model)


def test_absent_config_is_told(model: Path) -> None:
    lose("config.json")(model)
    with pytest.raises(BuildError, match=r"config\.json can't be read"):
        read_model_config(model)
