"""Remembers which steps of an unfinished build are done, and of what, so that a rerun goes on after them."""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from build.manifest import InputFile

FILE_NAME = "steps.json"


class StepRecord:
    """The file steps.json in a build's work folder; a broken one counts as empty."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._values = _read(self._path)

    @property
    def files(self) -> tuple[InputFile, ...]:
        """The model's files as an earlier run hashed them."""
        return tuple(InputFile(**file) for file in self._values["files"])

    def note_files(self, files: Iterable[InputFile]) -> None:
        self._write(self._values | {"files": [asdict(file) for file in files]})

    def is_done(self, step: str, inputs: Iterable[str]) -> bool:
        """Whether the step came to its end with exactly these inputs."""
        return bool(self._values["steps"].get(step) == _digest(inputs))

    def note_done(self, step: str, inputs: Iterable[str]) -> None:
        self._write(self._values | {"steps": self._values["steps"] | {step: _digest(inputs)}})

    def forget(self, step: str) -> None:
        steps = {name: digest for name, digest in self._values["steps"].items() if name != step}
        self._write(self._values | {"steps": steps})

    def _write(self, values: dict[str, Any]) -> None:
        self._values = values
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps(values, indent=2), encoding="utf-8")
        os.replace(partial, self._path)


def _read(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        files = [asdict(InputFile(**file)) for file in values["files"]]
        return {"files": files, "steps": {str(k): str(v) for k, v in values["steps"].items()}}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {"files": [], "steps": {}}


def _digest(inputs: Iterable[str]) -> str:
    return hashlib.sha256(json.dumps(list(inputs)).encode()).hexdigest()
