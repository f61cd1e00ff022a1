"""The steps that upstream's tools do, in order: the quick ones first, so that what is wrong shows early."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from build.checkpoint.tokenizer import TokenizerFacts, from_hugging_face
from build.engine_folder import ENGINE, TOKENIZER
from build.errors import BuildError
from build.manifest import InputFile, tree_sha256
from build.progress import Reporter
from build.tensorrt_llm.config import ADAPTERS
from build.tensorrt_llm.engine import CONFIG, TENSORRT_LLM_VERSION, read_tensorrt_llm_engine
from build.tensorrt_llm.logged_command import run_logged
from build.tensorrt_llm.lora import check_converted
from build.tensorrt_llm.order import Job
from build.tensorrt_llm.recipe import Recipe
from build.tensorrt_llm.toolchain import Toolchain, Tools, find_tools, require_flags

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


CHECKPOINT, GUIDES, LOGS = "checkpoint", "guides", "logs"
GUIDES_FILE = "xgrammar_tokenizer_info.json"

_GUIDE_KEYS = {"encoded_vocab", "stop_token_ids"}


class Steps:
    """Fills a job's work folder: guides, adapters, checkpoint and engine, with a log of each."""

    def __init__(self, job: Job, toolchain: Toolchain, record: StepRecord, reporter: Reporter) -> None:
        self._job = job
        self._toolchain = toolchain
        self._record = record
        self._reporter = reporter
        self._source = ""

    def prepare(self) -> Tools:
        """Finds the tools; raises BuildError when they or the tokenizer won't do."""
        (self._job.work / "home").mkdir(exist_ok=True)
        write_tokenizer(self._job, self._job.work / TOKENIZER)
        preparation = self._toolchain.preparation()
        if preparation is not None:
            log = self._job.work / LOGS / "image.log"
            run_logged(f"Pulling {preparation[-1]} (14 GB)", preparation, log, self._reporter)
        with self._reporter.step(f"Looking for TensorRT-LLM in {self._toolchain.title}"):
            tools = find_tools(self._toolchain)
        with self._reporter.step("Asking its tools for their flags"):
            work, recipe = self._job.work, self._job.recipe
            require_flags(self._toolchain, tools.checkpoint(recipe, self._job.source.path, work / CHECKPOINT))
            require_flags(self._toolchain, tools.engine(recipe, work / CHECKPOINT, work / ENGINE, num_gpus=1))
        return tools

    def run(self, tools: Tools, source_sha256: str, num_gpus: int) -> None:
        """Raises BuildError for the first step that fails; those before it are not done again."""
        job, work = self._job, self._job.work
        self._source = source_sha256
        info = tools.tokenizer_info(job.source.path, work / GUIDES)
        self._step("Writing the tokenizer's table for guided decoding", GUIDES, info, check_guides)
        self._remove_other_adapters()
        for number, adapter in enumerate(job.adapters, 1):
            folder = f"{ADAPTERS}/{number}"
            title = f"Converting the LoRA adapter {adapter.name}"
            command, content = tools.adapter(adapter.path, work / folder), tree_sha256(adapter.path)
            self._step(title, folder, command, check_converted, [content])
        checkpoint = tools.checkpoint(job.recipe, job.source.path, work / CHECKPOINT)
        engine = tools.engine(job.recipe, work / CHECKPOINT, work / ENGINE, num_gpus)
        if self._is_done(ENGINE, [*checkpoint, *engine], self._check_engine):
            return
        verb = "Quantizing" if job.recipe.tool == "quantize" else "Converting"
        title = f"{verb} the checkpoint to {job.recipe.precision}"
        self._step(title, CHECKPOINT, checkpoint, lambda folder: check_checkpoint(folder, job.recipe))
        ranks = f" of {job.recipe.world_size} ranks" if job.recipe.world_size > 1 else ""
        title = f"Compiling the engine{ranks}"
        self._step(title, ENGINE, engine, self._check_engine, checkpoint)

    def _remove_other_adapters(self) -> None:
        """Those that an earlier order had: the engine would load them all."""
        wanted = {str(number) for number, _ in enumerate(self._job.adapters, 1)}
        for folder in (self._job.work / ADAPTERS).glob("*"):
            if folder.name not in wanted:
                shutil.rmtree(folder)

    def _step(
        self,
        title: str,
        output: str,
        command: Sequence[str],
        check: Callable[[Path], None],
        before: Sequence[str] = (),
    ) -> None:
        """Runs the command, unless it did with the same inputs (`before` are more of them) and passes."""
        inputs = [*before, *command]
        if self._is_done(output, inputs, check):
            self._reporter.say(f"{title}: done before")
            return
        folder = self._job.work / output
        self._record.forget(output)
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        log = self._job.work / LOGS / f"{output.replace('/', '-')}.log"
        words = self._toolchain.command(command)
        run_logged(title, words, log, self._reporter, self._toolchain.removal())
        check(folder)
        self._record.note_done(output, self._key(inputs))

    def _is_done(self, output: str, inputs: Sequence[str], check: Callable[[Path], None]) -> bool:
        if not self._record.is_done(output, self._key(inputs)):
            return False
        try:
            check(self._job.work / output)
        except BuildError:
            return False
        return True

    def _key(self, inputs: Sequence[str]) -> list[str]:
        return [self._source, TENSORRT_LLM_VERSION, *inputs]

    def _check_engine(self, folder: Path) -> None:
        check_engine(folder, self._job.recipe)


def write_tokenizer(job: Job, folder: Path) -> TokenizerFacts:
    """Writes tokenizer and chat template; raises BuildError when they don't go with the model."""
    facts = from_hugging_face(job.source.path, folder)
    if facts.vocab_size > job.shape.vocab:
        raise BuildError(f"The tokenizer has {facts.vocab_size} tokens, the model only {job.shape.vocab}.")
    return facts


def check_guides(folder: Path) -> None:
    """Raises BuildError unless the table of tokens for xgrammar is there."""
    path = folder / GUIDES_FILE
    try:
        has_keys = json.loads(path.read_text(encoding="utf-8")).keys() >= _GUIDE_KEYS
    except (OSError, ValueError, AttributeError) as error:
        raise BuildError(f"{path} is not a table of tokens: {error}.") from error
    if not has_keys:
        raise BuildError(f"{path} lacks {' or '.join(sorted(_GUIDE_KEYS))}.")


def check_checkpoint(folder: Path, recipe: Recipe) -> None:
    """Raises BuildError unless each rank has its weights."""
    for name in (CONFIG, *(f"rank{rank}.safetensors" for rank in range(recipe.world_size))):
        if not (folder / name).is_file():
            raise BuildError(f"The command ended well, but left no {folder / name}.")


def check_engine(folder: Path, recipe: Recipe) -> None:
    """Sets the GPUs of a node, for which is no flag; raises BuildError unless the recipe fits the engine."""
    set_gpus_per_node(folder / CONFIG, recipe.gpus_per_node)
    engine = read_tensorrt_llm_engine(folder)
    found = (engine.version, engine.tensor_parallel, engine.pipeline_parallel, engine.max_seq_len)
    wanted = (TENSORRT_LLM_VERSION, recipe.tp_size, recipe.pp_size, recipe.max_seq_len)
    for name, is_value, value in zip(("version", "TP", "PP", "max_seq_len"), found, wanted, strict=True):
        if is_value != value:
            raise BuildError(f"{folder} has {name} {is_value}, the recipe says {value}.")


def set_gpus_per_node(path: Path, number: int) -> None:
    """Edits the engine's config.json, which upstream's runtime compares with the real node."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        mapping = config["pretrained_config"]["mapping"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BuildError(f"{path} is no engine's config.json: {error!r}.") from error
    if mapping.get("gpus_per_node") != number:
        mapping["gpus_per_node"] = number
        path.write_text(json.dumps(config, indent=4), encoding="utf-8")
