"""TensorRT-LLM's tools: their command lines, and where they run, here or in NVIDIA's container by Docker."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from build.errors import BuildError
from build.tensorrt_llm.engine import TENSORRT_LLM_VERSION
from build.tensorrt_llm.flags import Value, arguments
from build.tensorrt_llm.logged_command import UNBUFFERED
from build.tensorrt_llm.recipe import Recipe

_SCRIPTS = {
    "convert_checkpoint": "models/core/llama/convert_checkpoint.py",
    "quantize": "quantization/quantize.py",
    "generate_xgrammar_tokenizer_info": "generate_xgrammar_tokenizer_info.py",
    "hf_lora_convert": "hf_lora_convert.py",
}


@dataclass(frozen=True)
class Tools:
    """The Python that has tensorrt_llm, and the folder of upstream's examples; trtllm-build is in PATH."""

    python: str
    examples: Path

    def checkpoint(self, recipe: Recipe, model: Path, output: Path) -> list[str]:
        """Converts or quantizes a Hugging Face folder into a TensorRT-LLM checkpoint."""
        ends: dict[str, Value] = {"model_dir": str(model), "output_dir": str(output)}
        return self._script(recipe.tool, {**ends, **recipe.checkpoint})

    def engine(self, recipe: Recipe, checkpoint: Path, output: Path, num_gpus: int) -> list[str]:
        """Compiles one engine for each rank; all ranks on this machine, also those of other nodes."""
        ends: dict[str, Value] = {
            "checkpoint_dir": str(checkpoint),
            "output_dir": str(output),
            # Beside the engine: upstream's default is the working directory.
            "output_timing_cache": str(output.parent / "timing.cache"),
        }
        values = {**ends, **recipe.build, "workers": recipe.engine_workers(num_gpus)}
        return ["trtllm-build", *arguments("build", values)]

    def tokenizer_info(self, model: Path, output: Path) -> list[str]:
        """Writes the xgrammar_tokenizer_info.json that guided decoding needs."""
        ends: dict[str, Value] = {"model_dir": str(model), "output_dir": str(output)}
        return self._script("generate_xgrammar_tokenizer_info", ends)

    def adapter(self, source: Path, output: Path) -> list[str]:
        """Writes the two .npy files of a LoRA adapter, in float16 as Triton's tensor lora_weights."""
        ends: dict[str, Value] = {
            "in-file": str(source),
            "out-dir": str(output),
            "storage-type": "float16",
        }
        return self._script("hf_lora_convert", ends)

    def programs(self) -> dict[str, list[str]]:
        """How each tool is started, by its name in flags.toml."""
        scripts = {name: [self.python, str(self.examples / path)] for name, path in _SCRIPTS.items()}
        return scripts | {"build": ["trtllm-build"]}

    def _script(self, command: str, values: dict[str, Value]) -> list[str]:
        return [self.python, str(self.examples / _SCRIPTS[command]), *arguments(command, values)]


# TensorRT-LLM 1.2.1, TensorRT 10.14, CUDA 13.1: needs a driver of 590 or newer.
IMAGE = "nvcr.io/nvidia/tritonserver:26.07-trtllm-python-py3"

# Where NVIDIA's image has upstream's examples/ (its Dockerfile copies them to /app).
_EXAMPLES = Path("/app/examples")
# As NVIDIA starts the image (tensorrtllm_backend's README).
_LIMITS = ("--shm-size=2g", "--ulimit=memlock=-1", "--ulimit=stack=67108864")
# The user's own settings that downloads of calibration texts and the choice of GPUs depend on.
_PASSED_ON = (
    "HF_TOKEN",
    "HF_ENDPOINT",
    "HF_HUB_OFFLINE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "CUDA_VISIBLE_DEVICES",
)


# Prints which Python trtllm-build is a script of (others of an image may lack TensorRT-LLM), and the version.
# It is not imported for that, which takes half a minute.
_QUESTION = """
tool=$(command -v trtllm-build) || { echo "there is no trtllm-build" >&2; exit 1; }
python=$(head -n 1 "$tool" | sed -n 's/^#! *//; s/^[^ ]*env  *//; s/ .*//; /python/p')
echo "python ${python:=python3}"
exec "$python" -c "import importlib.metadata as m; print('tensorrt_llm', m.version('tensorrt_llm'))"
"""


class Toolchain(Protocol):
    """Runs upstream's tools; paths mean the same inside and outside."""

    @property
    def examples(self) -> Path: ...

    @property
    def title(self) -> str: ...

    def preparation(self) -> list[str] | None:
        """A command that must have run once before all others, if there is one."""

    def command(self, words: Sequence[str]) -> list[str]:
        """The command line that runs these words where the tools are."""

    def removal(self) -> list[str] | None:
        """A command that ends what an interrupted one may have left, if anything can be left."""


@dataclass(frozen=True)
class Direct:
    """The tools of this machine, which is NVIDIA's container or has TensorRT-LLM installed."""

    examples: Path

    @property
    def title(self) -> str:
        return "this machine's TensorRT-LLM"

    def preparation(self) -> list[str] | None:
        return None

    def command(self, words: Sequence[str]) -> list[str]:
        return list(words)

    def removal(self) -> list[str] | None:
        return None


@dataclass(frozen=True)
class Docker:
    """The tools of NVIDIA's image; `reads` and `writes` are mounted at their own paths."""

    program: str
    image: str
    reads: tuple[Path, ...]
    writes: tuple[Path, ...]
    home: Path
    has_image: bool

    @property
    def examples(self) -> Path:
        return _EXAMPLES

    @property
    def title(self) -> str:
        return f"the image {self.image}"

    def preparation(self) -> list[str] | None:
        return None if self.has_image else [self.program, "pull", self.image]

    def command(self, words: Sequence[str]) -> list[str]:
        mounts = [f"--volume={path}:{path}:ro" for path in self.reads]
        mounts += [f"--volume={path}:{path}" for path in self.writes]
        # As the user, so that what is built is the user's; libraries ask for a name, which the image has not.
        user = [f"--user={os.getuid()}:{os.getgid()}", f"--env=HOME={self.home}", "--env=USER=builder"]
        user += ["--env=LOGNAME=builder", *(f"--env={name}={value}" for name, value in UNBUFFERED.items())]
        passed = [f"--env={name}" for name in _PASSED_ON if name in os.environ]
        run = [self.program, "run", "--rm", "--init", f"--name={self._name}", "--gpus=all", *_LIMITS]
        return [*run, *user, *passed, *mounts, f"--workdir={self.home}", self.image, *words]

    def removal(self) -> list[str] | None:
        return [self.program, "rm", "--force", self._name]

    @property
    def _name(self) -> str:
        return f"build-engines-{os.getpid()}"


def find_toolchain(
    reads: Sequence[Path], writes: Sequence[Path], home: Path, variables: Mapping[str, str]
) -> Toolchain:
    """Prefers the tools at hand; raises BuildError when there are none and no Docker that answers."""
    trtllm_build = shutil.which("trtllm-build")
    if trtllm_build:
        examples = Path(variables.get("TENSORRT_LLM_EXAMPLES") or _EXAMPLES)
        if not (examples / "quantization").is_dir():
            raise BuildError(
                f"{trtllm_build} is here, but upstream's examples are not in {examples}; say where they are "
                "with TENSORRT_LLM_EXAMPLES."
            )
        return Direct(examples)
    docker = shutil.which("docker")
    if docker is None:
        raise BuildError(
            f"Neither trtllm-build nor docker is here; run this inside {IMAGE}, or install Docker and the "
            "NVIDIA Container Toolkit; BACKEND=cpu builds for the CPU engine."
        )
    if not _answers([docker, "version", "--format={{.Server.Version}}"]):
        raise BuildError("Docker does not answer; start it, and let this user use it (group docker).")
    image = variables.get("TENSORRT_LLM_IMAGE") or IMAGE
    has_image = _answers([docker, "image", "inspect", image])
    return Docker(docker, image, tuple(reads), tuple(writes), home, has_image)


def find_tools(toolchain: Toolchain) -> Tools:
    """Asks where the tools are; raises BuildError for any version but the one that all this is made for."""
    command = toolchain.command(["sh", "-c", _QUESTION])
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (line.partition(" ") for line in result.stdout.splitlines())
    said = {key: value for key, _, value in lines if key in ("python", "tensorrt_llm")}
    if result.returncode or len(said) < 2:
        reason = (result.stderr.strip().splitlines() or [f"exit status {result.returncode}"])[-1]
        raise BuildError(f"TensorRT-LLM does not run in {toolchain.title}: {reason}")
    # What follows a plus sign names the build of the same version.
    if said["tensorrt_llm"].partition("+")[0] != TENSORRT_LLM_VERSION:
        raise BuildError(
            f"The version in {toolchain.title} is {said['tensorrt_llm']}, and engines are built and served "
            f"with {TENSORRT_LLM_VERSION}; use {IMAGE}."
        )
    return Tools(said["python"], toolchain.examples)


def require_flags(toolchain: Toolchain, command: Sequence[str]) -> None:
    """Asks a tool for its help, hours before its turn; raises BuildError when it lacks one of the flags."""
    flags = [word for word in command if word.startswith("--")]
    program = list(command[: command.index(flags[0])])
    done = subprocess.run(
        toolchain.command([*program, "--help"]), capture_output=True, text=True, check=False
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise BuildError(f"{program[-1]} does not run in {toolchain.title}: {reason}")
    unknown = sorted(set(flags) - flags_in_help(done.stdout))
    if unknown:
        raise BuildError(
            f"{program[-1]} in {toolchain.title} has no flag {', '.join(unknown)}; take it out of the "
            f"recipe, or use {IMAGE}."
        )


def flags_in_help(text: str) -> set[str]:
    return set(re.findall(r"--[\w-]+", text))


def _answers(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
