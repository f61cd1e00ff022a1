"""What a node must have before an engine is loaded, which takes minutes: each lack is one sentence."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from build.engine_folder import REPOSITORY, TOKENIZER
from build.errors import Failure
from build.gpus import Gpus
from build.tensorrt_llm.engine import TensorRtLlmEngine, require_gpus

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Triton's Python models and NCCL keep it
# Docker gives a container 64 MB, NVIDIA's own command 2 GB.
LEAST_SHARED_MEMORY = 256 << 20
_FILES = (
    f"{TOKENIZER}/tokenizer.json",
    f"{TOKENIZER}/chat_template.jinja",
    f"{REPOSITORY}/preprocess/config.pbtxt",
    f"{REPOSITORY}/postprocess/config.pbtxt",
    f"{REPOSITORY}/tensorrt_llm/config.pbtxt",
)
# What preprocess and postprocess import, and the engine's guides with them.
PACKAGES = ("numpy", "tokenizers", "jinja2", "xgrammar")
_ABSENT = "import importlib.util as u, sys; print(*(n for n in sys.argv[1:] if u.find_spec(n) is None))"


def require_files(folder: Path) -> None:
    """Of an engine folder that `make build-engines` finished; the engine's own are looked at elsewhere."""
    for name in _FILES:
        if not (folder / name).is_file():
            raise Failure(f"{folder} lacks {name}: build it again: make build-engines NAME={folder.name}")


def require_fitting_gpus(
    folder: Path, engine: TensorRtLlmEngine | None, gpus_per_node: int, gpus: Gpus | None
) -> None:
    """gpus is None where there is no nvidia-smi to ask."""
    if engine and gpus:
        require_gpus(folder, engine, gpus, gpus_per_node or engine.world_size)


def require_packages(environment: Mapping[str, str], names: Sequence[str] = PACKAGES) -> None:
    """In the Python that the models will run in, which the PATH leads to."""
    python = shutil.which("python3", path=environment.get("PATH"))
    if python is None:
        raise Failure("there is no python3 on the PATH for Triton's Python models")
    command = [python, "-c", _ABSENT, *names]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if absent := done.stdout.split():
        raise Failure(
            f"{python} lacks {', '.join(absent)}, which the models import: serve in NVIDIA's image, "
            "whose Python has them, and leave its PATH as it is"
        )


def require_shared_memory(folder: Path = SHARED_MEMORY, least: int = LEAST_SHARED_MEMORY) -> None:
    free = shutil.disk_usage(folder).free
    if free < least:
        raise Failure(
            f"{folder} has {free >> 20} MB left, and the models need {least >> 20}: give the container more, "
            "such as --shm-size=2g"
        )
