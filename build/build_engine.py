"""The steps from a model to an engine folder, each skipped when its result is already there."""

from dataclasses import dataclass, replace
from pathlib import Path

from build.checkpoint.gguf import GgufCheckpoint
from build.checkpoint.gguf_tokenizer import from_gguf
from build.checkpoint.safetensors import SafetensorsCheckpoint
from build.checkpoint.source import Source, find_source
from build.checkpoint.tokenizer import TokenizerFacts, from_hugging_face
from build.cpu.engine import KIND, MODEL_FILES, engine_bytes, try_engine, write_engine
from build.engine_folder import (
    ENGINE,
    REPOSITORY,
    TOKENIZER,
    engine_folder,
    link_or_copy_tree,
    locked,
    require_space,
    staged,
)
from build.errors import BuildError
from build.manifest import (
    InputFile,
    Inputs,
    Limits,
    Manifest,
    are_known,
    combined_sha256,
    current_inputs,
    hash_source,
    read_manifest,
    tree_sha256,
    write_manifest,
)
from build.progress import Reporter
from build.repository import COMMITTED, render_repository
from build.tensorrt_llm.engine import KIND as COMPILED


@dataclass(frozen=True)
class Order:
    """What the user asks for; None leaves the choice to the model."""

    model: Path | None
    name: str | None
    served_model_name: str | None
    precision: str
    engines: Path


def build_engine(order: Order, reporter: Reporter) -> Path:
    """Makes the engine folder of the order, or finds it up to date; raises BuildError or OSError."""
    source = find_source(order.model)
    folder = engine_folder(order.engines, order.name or source.name)
    with locked(folder, reporter.say):
        _Build(order, source, folder, reporter).run()
    return folder


class _Build:
    """One build, under the lock of its folder."""

    def __init__(self, order: Order, source: Source, folder: Path, reporter: Reporter) -> None:
        self._order = order
        self._source = source
        self._folder = folder
        self._reporter = reporter
        self._opened: GgufCheckpoint | SafetensorsCheckpoint | None = None

    def run(self) -> None:
        previous = read_manifest(self._folder)
        if previous and previous.inputs.engine_kind == COMPILED:
            raise BuildError(
                f"NAME: {self._folder} is an engine that TensorRT-LLM compiled; give another name, or "
                "remove it."
            )
        known = previous.files if previous else ()
        if not are_known(self._source, known):
            # Before gigabytes are hashed: whatever is wrong with the model is said now.
            self._checkpoint()
        files = hash_source(self._source, known, self._reporter)
        inputs = current_inputs(combined_sha256(self._source, files), KIND, self._order.precision)
        if previous and previous.inputs == inputs and self._has_outputs():
            self._refresh(previous, files)
        else:
            self._build(files, inputs)

    def _checkpoint(self) -> GgufCheckpoint | SafetensorsCheckpoint:
        if self._opened is None:
            with self._reporter.step(f"Reading {self._source.origin}"):
                self._opened = _open(self._source)
        return self._opened

    def _has_outputs(self) -> bool:
        outputs = [f"{ENGINE}/{name}" for name in MODEL_FILES]
        outputs += [f"{TOKENIZER}/tokenizer.json", f"{TOKENIZER}/chat_template.jinja", REPOSITORY]
        return all((self._folder / name).exists() for name in outputs)

    def _refresh(self, previous: Manifest, files: tuple[InputFile, ...]) -> None:
        """Keeps the engine; renders the repository anew when that or the names have changed."""
        manifest = replace(
            previous,
            origin=self._source.origin,
            files=files,
            served_model_name=self._served_model_name(),
            repository_sha256=tree_sha256(COMMITTED),
        )
        if manifest == previous:
            self._reporter.say(f"{self._folder} is up to date.")
            return
        with staged(self._folder) as partial:
            for name in (ENGINE, TOKENIZER):
                link_or_copy_tree(self._folder / name, partial / name)
            self._finish(partial, manifest)

    def _build(self, files: tuple[InputFile, ...], inputs: Inputs) -> None:
        checkpoint = self._checkpoint()
        require_space(self._folder.parent, engine_bytes(checkpoint, self._order.precision))
        with staged(self._folder) as partial:
            facts = self._write_tokenizer(checkpoint, partial / TOKENIZER)
            write_engine(checkpoint, self._order.precision, partial / ENGINE, self._reporter)
            config = checkpoint.config
            manifest = Manifest(
                origin=self._source.origin,
                files=files,
                inputs=inputs,
                limits=Limits(config.max_model_len, config.vocab_size),
                tokenizer=facts,
                served_model_name=self._served_model_name(),
                repository_sha256=tree_sha256(COMMITTED),
            )
            self._finish(partial, manifest)

    def _write_tokenizer(
        self, checkpoint: GgufCheckpoint | SafetensorsCheckpoint, folder: Path
    ) -> TokenizerFacts:
        with self._reporter.step("Writing the tokenizer"):
            if isinstance(checkpoint, GgufCheckpoint):
                facts = from_gguf(checkpoint.reader, folder)
            else:
                facts = from_hugging_face(self._source.path, folder)
        if facts.vocab_size > checkpoint.config.vocab_size:
            raise BuildError(
                f"The tokenizer has {facts.vocab_size} tokens, the model only {checkpoint.config.vocab_size}."
            )
        return facts

    def _finish(self, partial: Path, manifest: Manifest) -> None:
        render_repository(manifest, partial / REPOSITORY)
        write_manifest(manifest, partial)
        try_engine(partial, self._reporter)
        self._reporter.say(f"{self._folder} is ready; it serves {manifest.served_model_name}.")

    def _served_model_name(self) -> str:
        return self._order.served_model_name or self._source.served_model_name


def _open(source: Source) -> GgufCheckpoint | SafetensorsCheckpoint:
    if source.kind == "gguf":
        return GgufCheckpoint(source.path)
    return SafetensorsCheckpoint(source.path / "config.json", list(source.weights))
