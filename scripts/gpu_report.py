"""`make gpu-report`: a GPU machine and NVIDIA's image, held against what this project assumes."""

import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from build.errors import run
from build.gpus import Gpus, detected_gpus, driver_problem
from build.paths import RESULTS
from build.tensorrt_llm.engine import TENSORRT_LLM_VERSION
from build.tensorrt_llm.flags import flags_of
from build.tensorrt_llm.toolchain import Toolchain, Tools, find_toolchain, find_tools, flags_in_help
from serving.tritonserver import IMAGE_VENV

# Beginnings of the versions that the tests here are run with (pyproject.toml, group gpu-image).
VERSIONS = {
    "tensorrt_llm": TENSORRT_LLM_VERSION,
    "xgrammar": "0.1.25",
    "transformers": "4.57.",
    "tokenizers": "0.22.",
    "numpy": "1.26.",
    "jinja2": "3.1.",
}
_VERSION = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"
_KV_CACHE = "from tensorrt_llm.llmapi.kv_cache_type import KVCacheType as t; print(t.PAGED.value)"


@dataclass(frozen=True)
class Verdict:
    """What was found of one thing that this project assumes."""

    what: str
    found: str
    is_right: bool
    assumed: str = ""

    def __str__(self) -> str:
        if self.is_right:
            return f"ok       {self.what}: {self.found}"
        return f"DIFFERS  {self.what}: {self.found or 'nothing'}; assumed {self.assumed}"


def main() -> int:
    """1 when something differs."""
    with tempfile.TemporaryDirectory(prefix="gpu-report-") as scratch:
        toolchain = find_toolchain([], [Path(scratch)], Path(scratch), os.environ)
        verdicts = list(Report(toolchain, Path(scratch)).verdicts(detected_gpus()))
        archive = write_archive(Path(scratch), verdicts)
    print(*verdicts, f"everything that was asked and answered: {archive}", sep="\n")
    return int(not all(verdict.is_right for verdict in verdicts))


class Report:
    """Asks a toolchain; keeps each answer as a file in the folder."""

    def __init__(self, toolchain: Toolchain, folder: Path) -> None:
        self._toolchain = toolchain
        self._folder = folder

    def verdicts(self, gpus: Gpus | None) -> Iterator[Verdict]:
        yield Verdict("GPUs", str(gpus or ""), gpus is not None, "at least one in nvidia-smi")
        if gpus:
            yield from self._machine(gpus)
        tools = find_tools(self._toolchain)
        python = self._ask("python", ["sh", "-c", "command -v python3"])
        yield Verdict("python3 on the PATH", python, python.startswith(str(IMAGE_VENV)), str(IMAGE_VENV))
        for name, version in VERSIONS.items():
            found = self._ask(f"version-{name}", [tools.python, "-c", _VERSION, name])
            yield Verdict(name, found, found.startswith(version), version)
        spelling = self._ask("kv-cache-type", [tools.python, "-c", _KV_CACHE])
        yield Verdict("kv_cache_type of an engine", spelling, spelling.lower() == "paged", "paged or PAGED")
        mpi = self._ask("mpirun", ["mpirun", "--version"])
        yield Verdict("mpirun", mpi.partition("\n")[0], "Open MPI" in mpi, "Open MPI")
        yield from self._flags(tools)

    def _machine(self, gpus: Gpus) -> Iterator[Verdict]:
        problem = driver_problem(gpus)
        yield Verdict("driver", gpus.driver, problem is None, problem or "")
        links = self._save("nvlink", ["nvidia-smi", "nvlink", "--status"])
        has_links = "GB/s" in links
        found = "there" if has_links else "none"
        yield Verdict("NVLink", found, has_links == gpus.gpu.has_nvlink, f"the other, by {gpus.gpu.name}")

    def _flags(self, tools: Tools) -> Iterator[Verdict]:
        for command, program in tools.programs().items():
            found = flags_in_help(self._ask(f"help-{command}", [*program, "--help"]))
            lost = sorted({f"--{name}" for name in flags_of(command)} - found)
            told = f"{len(found)} flags" if not lost else f"lacks {', '.join(lost)}"
            yield Verdict(f"flags of {command}", told, not lost, "those of build/tensorrt_llm/flags.toml")

    def _ask(self, name: str, words: Sequence[str]) -> str:
        """Where the tools are; what was printed, empty when the command failed."""
        return self._save(name, self._toolchain.command(words))

    def _save(self, name: str, command: Sequence[str]) -> str:
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            (self._folder / f"{name}.txt").write_text(f"{error}\n")
            return ""
        told = f"$ {' '.join(command)}\n{done.stdout}{done.stderr}exit status {done.returncode}\n"
        (self._folder / f"{name}.txt").write_text(told)
        return "" if done.returncode else done.stdout.strip()


def write_archive(folder: Path, verdicts: Sequence[Verdict], into: Path = RESULTS) -> Path:
    """The folder's files and the verdicts, a line each."""
    (folder / "verdicts.txt").write_text("".join(f"{verdict}\n" for verdict in verdicts))
    into.mkdir(exist_ok=True)
    archive = into / f"gpu-report-{datetime.now(timezone.utc):%Y%m%d-%H%M%S}.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        for path in sorted(folder.glob("*.txt")):
            file.add(path, f"gpu-report/{path.name}")
    return archive


if __name__ == "__main__":
    run(main)
