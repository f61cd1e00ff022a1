"""Looks at a Hugging Face folder's files, not into the weights: what is missing, cut off or not allowed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from build.checkpoint.source import read_object
from build.errors import BuildError

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"

_NEEDED = ("config.json", "tokenizer.json", "tokenizer_config.json")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt")
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
# A header of a 405B shard has about 20 KB; the format's own limit is 100 MB.
_MAX_HEADER_BYTES = 100_000_000


def read_model_config(folder: Path) -> dict[str, Any]:
    """config.json; raises BuildError when it can't be read."""
    return read_object(folder / "config.json")


def checkpoint_problems(folder: Path) -> list[str]:
    """What is wrong with the files, each with what to do about it."""
    absent = [name for name in _NEEDED if not (folder / name).is_file()]
    problems = [f"{folder} lacks {name}; download the whole repository." for name in absent]
    names = _weight_names(folder)
    if isinstance(names, str):
        return [*problems, names]
    return problems + [problem for name in names if (problem := file_problem(folder / name))]


def source_bytes(folder: Path) -> int:
    """Bytes of all weight files."""
    return sum(size for _, size in _weight_sizes(folder))


def file_problem(path: Path) -> str | None:
    """What is wrong with one safetensors file."""
    if not path.is_file():
        return f"{path} is missing; download the rest: {_download(path.parent)}."
    with path.open("rb") as file:
        start = file.read(max(8, len(_LFS_POINTER)))
    if start.startswith(_LFS_POINTER):
        return f"{path} is a Git LFS pointer, not the file; in {path.parent} run: git lfs pull."
    try:
        expected = _expected_bytes(path)
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{path} is not a safetensors file; download it again: {_download(path.parent)}."
    size = path.stat().st_size
    if size != expected:
        return (
            f"{path} has {size} of {expected} bytes; download the rest: {_download(path.parent)}."
            if size < expected
            else f"{path} has {size - expected} bytes too many; download it again."
        )
    return None


def safetensors_header(path: Path) -> dict[str, Any]:
    """Tensors' types, shapes and offsets by name; raises ValueError when it is no safetensors file."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length <= _MAX_HEADER_BYTES:
            raise ValueError("The header's length is impossible.")
        header = json.loads(file.read(length))
    if not isinstance(header, dict):
        raise ValueError("The header is no object.")
    header.pop("__metadata__", None)
    return header


def _expected_bytes(path: Path) -> int:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    ends = (tensor["data_offsets"][1] for tensor in safetensors_header(path).values())
    return 8 + length + max(ends, default=0)


def _weight_names(folder: Path) -> list[str] | str:
    """The weight files that config and index promise, or what is wrong."""
    index = folder / INDEX
    if index.is_file() and not (folder / SINGLE).is_file():
        try:
            return sorted({str(name) for name in read_object(index)["weight_map"].values()})
        except (BuildError, KeyError, AttributeError):
            return f"{index} has no weight_map of file names; download it again: {_download(folder)}."
    if (folder / SINGLE).is_file():
        return [SINGLE]
    if any(path.suffix in _PICKLES for path in _files(folder)):
        return f"{folder} has pickles only, and reading one can run code; give the safetensors of this model."
    return (
        f"{folder} has no weights ({INDEX} or {SINGLE}). Meta's models are gated: accept the license on the "
        f"model's page at huggingface.co, then: {_download(folder)}."
    )


def _download(folder: Path) -> str:
    return f"hf download meta-llama/{folder.name} --local-dir {folder} --exclude 'original/*'"


def _weight_sizes(folder: Path) -> list[tuple[Path, int]]:
    return [(path, path.stat().st_size) for path in _files(folder) if path.suffix == ".safetensors"]


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if path.is_file())
