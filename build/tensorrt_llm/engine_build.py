"""From a Hugging Face checkpoint to an engine folder: whole or not at all, and not again without need."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from build.engine_folder import ENGINE, REPOSITORY, TOKENIZER, link_or_copy, link_or_copy_tree, locked, staged
from build.manifest import (
    InputFile,
    Inputs,
    Limits,
    Manifest,
    are_known,
    combined_sha256,
    hash_source,
    read_manifest,
    tree_sha256,
    write_manifest,
)
from build.progress import Reporter
from build.repository import COMMITTED, render_tensorrt_llm_repository
from build.tensorrt_llm.config import ADAPTERS, TOKENIZER_INFO
from build.tensorrt_llm.engine import KIND, TENSORRT_LLM_VERSION, read_tensorrt_llm_engine
from build.tensorrt_llm.order import Job, Order, find_job, require_machine
from build.tensorrt_llm.preflight import Machine
from build.tensorrt_llm.steps import GUIDES, GUIDES_FILE, LOGS, StepRecord, Steps, write_tokenizer


def build_tensorrt_llm(
    order: Order, machine: Callable[[], Machine], reporter: Reporter, variables: Mapping[str, str]
) -> Path:
    """Makes the engine folder of the order, or finds it up to date; raises BuildError or OSError."""
    job = find_job(order)
    with locked(job.folder, reporter.say):
        _Build(order, job, reporter).run(machine, variables)
    return job.folder


class _Build:
    """One build, under the lock of its folder."""

    def __init__(self, order: Order, job: Job, reporter: Reporter) -> None:
        self._order = order
        self._job = job
        self._reporter = reporter

    def run(self, machine: Callable[[], Machine], variables: Mapping[str, str]) -> None:
        previous = read_manifest(self._job.folder)
        if previous and self._is_kept(previous):
            self._refresh(previous)
            return
        here = machine()
        toolchain = require_machine(self._job, here, variables)
        self._job.work.mkdir(exist_ok=True)
        record = StepRecord(self._job.work)
        steps = Steps(self._job, toolchain, record, self._reporter)
        tools = steps.prepare()
        files = hash_source(
            self._job.source, (*(previous.files if previous else ()), *record.files), self._reporter
        )
        record.note_files(files)
        steps.run(tools, combined_sha256(self._job.source, files), here.gpus.per_node if here.gpus else 0)
        self._publish(
            self._job.work,
            self._job.work / GUIDES / GUIDES_FILE,
            files,
            compute=here.gpus.gpu.compute if here.gpus else 0,
        )
        shutil.rmtree(self._job.work)

    def _inputs(self, files: tuple[InputFile, ...]) -> Inputs:
        recipe, source = self._job.recipe, combined_sha256(self._job.source, files)
        adapters = {f"lora.{adapter.name}": tree_sha256(adapter.path) for adapter in self._job.adapters}
        versions = {"tensorrt_llm": TENSORRT_LLM_VERSION}
        return Inputs(source, KIND, recipe.precision, versions, recipe.options() | adapters)

    def _is_kept(self, previous: Manifest) -> bool:
        """Whether the engine there is what is asked for: told before machine and tools are looked at."""
        if previous.inputs.engine_kind != KIND or not are_known(self._job.source, previous.files):
            return False
        files = hash_source(self._job.source, previous.files, self._reporter)
        outputs = (ENGINE, TOKENIZER, TOKENIZER_INFO, REPOSITORY)
        return previous.inputs == self._inputs(files) and all(
            (self._job.folder / name).exists() for name in outputs
        )

    def _refresh(self, previous: Manifest) -> None:
        """Keeps the engine; renders the repository anew when that or what it is told has changed."""
        manifest = replace(
            previous,
            served_model_name=self._served_model_name(),
            serving=self._serving(),
            repository_sha256=tree_sha256(COMMITTED),
        )
        if manifest == previous:
            self._reporter.say(f"{self._job.folder} is up to date.")
        else:
            folder = self._job.folder
            self._publish(folder, folder / TOKENIZER_INFO, previous.files, compute=previous.compute)

    def _publish(self, parts: Path, guides: Path, files: tuple[InputFile, ...], *, compute: int) -> None:
        """Makes the engine folder: `parts` has engine, adapters and logs, which are linked."""
        job = self._job
        engine = read_tensorrt_llm_engine(parts / ENGINE)
        with staged(job.folder) as partial:
            for name in (ENGINE, ADAPTERS, LOGS):
                if (parts / name).is_dir() and (name != ADAPTERS or job.adapters):
                    link_or_copy_tree(parts / name, partial / name)
            facts = write_tokenizer(job, partial / TOKENIZER)
            link_or_copy(guides, partial / TOKENIZER_INFO)
            manifest = Manifest(
                origin=job.source.origin,
                files=files,
                inputs=self._inputs(files),
                limits=Limits(engine.max_seq_len, engine.vocab_size),
                tokenizer=facts,
                served_model_name=self._served_model_name(),
                repository_sha256=tree_sha256(COMMITTED),
                serving=self._serving(),
                compute=compute,
            )
            adapters = {adapter.name: number for number, adapter in enumerate(job.adapters, 1)}
            render_tensorrt_llm_repository(
                manifest, engine, partial / REPOSITORY, adapters=adapters, overrides=manifest.serving
            )
            write_manifest(manifest, partial)
        self._reporter.say(f"{job.folder} is ready; it serves {manifest.served_model_name}.")

    def _serving(self) -> dict[str, str]:
        return dict(self._order.serving)

    def _served_model_name(self) -> str:
        return self._order.served_model_name or self._job.source.served_model_name
