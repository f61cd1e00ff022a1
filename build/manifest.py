"""The record of a built engine, and the question whether it still fits its inputs."""

import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from build.checkpoint.source import Source
from build.checkpoint.tokenizer import TokenizerFacts
from build.engine_folder import MANIFEST
from build.errors import BuildError
from build.progress import Reporter

_LIBRARIES = ("openvino", "openvino-genai", "gguf", "safetensors", "tokenizers", "numpy")
_CHUNK_BYTES = 1 << 22
_IGNORED_FOLDERS = {"__pycache__", ".mypy_cache", ".ruff_cache"}


@dataclass(frozen=True)
class InputFile:
    """A file that was read; modified_ns is its modification time in nanoseconds."""

    path: str
    size: int
    modified_ns: int
    sha256: str


@dataclass(frozen=True)
class Inputs:
    """Everything that the engine and the tokenizer depend on; options are flags, by their names."""

    source_sha256: str
    engine_kind: str
    precision: str
    versions: dict[str, str]
    options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Limits:
    max_model_len: int
    vocab_size: int


@dataclass(frozen=True)
class Manifest:
    """What manifest.json says; repository_sha256 is that of the committed model repository.

    serving: what overrides the rendered config.pbtxt of a TensorRT-LLM engine. compute: the compute
    capability, times ten, of the GPUs that such an engine was compiled on.
    """

    origin: str
    files: tuple[InputFile, ...]
    inputs: Inputs
    limits: Limits
    tokenizer: TokenizerFacts
    served_model_name: str
    repository_sha256: str
    serving: dict[str, str] = field(default_factory=dict)
    compute: int = 0


def write_manifest(manifest: Manifest, folder: Path) -> None:
    text = json.dumps(asdict(manifest), indent=2, ensure_ascii=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest | None:
    """None where no engine is, or one of another form; raises BuildError for a folder of something else."""
    if not folder.exists():
        return None
    try:
        return _parse(json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise BuildError(f"NAME: {folder} exists and is no engine; give another name.") from error
    except (ValueError, KeyError, TypeError):
        # Another version of this program wrote it: no reason not to build anew.
        return None


def current_inputs(source_sha256: str, engine_kind: str, precision: str) -> Inputs:
    versions = {library: importlib.metadata.version(library) for library in _LIBRARIES}
    versions["build"] = tree_sha256(Path(__file__).parent)
    return Inputs(source_sha256, engine_kind, precision, versions)


def are_known(source: Source, known: Iterable[InputFile]) -> bool:
    """Whether every file of the source has the path, size and time that it had then."""
    keys = {(file.path, file.size, file.modified_ns) for file in known}
    return all(_key(path) in keys for path in source.files)


def hash_files(
    source: Source, known: Iterable[InputFile], advance: Callable[[int], None]
) -> tuple[InputFile, ...]:
    """Hashes the source's files; those of known size and time are not read again. Advances by bytes."""
    by_key = {(file.path, file.size, file.modified_ns): file for file in known}
    return tuple(_hash_file(path, by_key, advance) for path in source.files)


def hash_source(source: Source, known: Iterable[InputFile], reporter: Reporter) -> tuple[InputFile, ...]:
    """hash_files, which is shown where it takes long."""
    known = tuple(known)
    if are_known(source, known):
        return hash_files(source, known, lambda _: None)
    size = sum(path.stat().st_size for path in source.files)
    with reporter.step("Hashing the model's files", size, is_bytes=True) as advance:
        return hash_files(source, known, advance)


def combined_sha256(source: Source, files: Iterable[InputFile]) -> str:
    """One digest of names and contents, the same wherever the files lie."""
    lines = sorted(f"{file.sha256}  {path.name}\n" for file, path in zip(files, source.files, strict=True))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def tree_sha256(folder: Path) -> str:
    """One digest of all the files below a folder, caches left out."""
    digest = hashlib.sha256()
    for path in tree_files(folder):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def tree_files(folder: Path) -> list[Path]:
    """All files below a folder in a fixed order, caches left out."""
    return sorted(
        path for path in folder.rglob("*") if path.is_file() and not _IGNORED_FOLDERS.intersection(path.parts)
    )


def _hash_file(
    path: Path, known: dict[tuple[str, int, int], InputFile], advance: Callable[[int], None]
) -> InputFile:
    key = _key(path)
    if key in known:
        advance(known[key].size)
        return known[key]
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            advance(len(chunk))
    return InputFile(*key, digest.hexdigest())


def _key(path: Path) -> tuple[str, int, int]:
    status = path.stat()
    return str(path), status.st_size, status.st_mtime_ns


def _parse(values: dict[str, Any]) -> Manifest:
    facts = values["tokenizer"]
    return Manifest(
        origin=values["origin"],
        files=tuple(InputFile(**file) for file in values["files"]),
        inputs=Inputs(**values["inputs"]),
        limits=Limits(**values["limits"]),
        tokenizer=TokenizerFacts(
            facts["vocab_size"], facts["end_id"], tuple(facts["stop_ids"]), tuple(facts["special_ids"])
        ),
        served_model_name=values["served_model_name"],
        repository_sha256=values["repository_sha256"],
        serving=dict(values.get("serving", {})),
        compute=int(values.get("compute", 0)),
    )
