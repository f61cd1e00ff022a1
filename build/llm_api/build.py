"""From a Hugging Face checkpoint to an engine folder of the LLM API, which loads that very checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from build.checkpoint.shapes import LlamaShape, find_shape
from build.checkpoint.source import Source, find_source
from build.checkpoint.tokenizer import TokenizerFacts, from_hugging_face
from build.engine_folder import REPOSITORY, TOKENIZER, copy_file, engine_folder, locked, staged
from build.errors import BuildError
from build.llm_api.repository import ADAPTERS, LlmApiServing, render_llm_api_repository
from build.manifest import Inputs, Limits, Manifest, tree_sha256, write_manifest
from build.progress import Reporter
from build.repository import COMMITTED
from build.tensorrt_llm.checkpoint_files import checkpoint_problems
from build.tensorrt_llm.lora import Adapter, read_adapters

KIND = "llm_api"
# Sequences at once, as in the recipes of compiled engines.
MAX_NUM_SEQS = 512
_ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


@dataclass(frozen=True)
class LlmApiOrder:
    """What the user asks for; None leaves the choice to the model. adapters are name=folder."""

    model: Path
    name: str | None
    served_model_name: str | None
    tensor_parallel: int
    pipeline_parallel: int
    max_model_len: int | None
    max_num_seqs: int
    adapters: tuple[str, ...]
    serving: Mapping[str, str]
    engines: Path


def build_llm_api(order: LlmApiOrder, reporter: Reporter) -> Path:
    """Makes the engine folder anew, which takes seconds; raises BuildError or OSError."""
    source = find_source(order.model)
    if source.kind != "hugging_face":
        raise BuildError("MODEL: the LLM API loads Hugging Face folders, not GGUF files.")
    if problems := checkpoint_problems(source.path):
        raise BuildError(" ".join(problems))
    shape = find_shape(str(source.path))
    _require_parallelism(order, shape)
    adapters = read_adapters(order.adapters)
    folder = engine_folder(order.engines, order.name or source.name)
    with (
        locked(folder, reporter.say),
        staged(folder) as partial,
    ):
        _copy_adapters(adapters, partial / ADAPTERS)
        manifest = _manifest(order, source, shape, from_hugging_face(source.path, partial / TOKENIZER))
        render_llm_api_repository(
            manifest,
            LlmApiServing(source.path, order.tensor_parallel, order.pipeline_parallel, order.max_num_seqs),
            partial / REPOSITORY,
            adapters={adapter.name: number for number, adapter in enumerate(adapters, 1)},
            overrides=order.serving,
        )
        write_manifest(manifest, partial)
    reporter.say(f"{folder} is ready; it serves {manifest.served_model_name} from {source.path}.")
    return folder


def _require_parallelism(order: LlmApiOrder, shape: LlamaShape) -> None:
    if shape.num_kv_heads % order.tensor_parallel:
        raise BuildError(
            f"TP={order.tensor_parallel} does not divide the model's {shape.num_kv_heads} KV heads."
        )
    wanted = order.max_model_len
    if wanted is not None and wanted > shape.context:
        raise BuildError(f"MAX_SEQ_LEN={wanted} is more than the {shape.context} the model was trained for.")


def _manifest(order: LlmApiOrder, source: Source, shape: LlamaShape, facts: TokenizerFacts) -> Manifest:
    if facts.vocab_size > shape.vocab:
        raise BuildError(f"The tokenizer has {facts.vocab_size} tokens, the model only {shape.vocab}.")
    return Manifest(
        origin=source.origin,
        # The weights are loaded anew at each start: nothing here depends on them.
        files=(),
        inputs=Inputs("", KIND, "as the checkpoint", {}),
        limits=Limits(order.max_model_len or shape.context, shape.vocab),
        tokenizer=facts,
        served_model_name=order.served_model_name or source.served_model_name,
        repository_sha256=tree_sha256(COMMITTED),
        serving=dict(order.serving),
    )


def _copy_adapters(adapters: tuple[Adapter, ...], into: Path) -> None:
    for number, adapter in enumerate(adapters, 1):
        (into / str(number)).mkdir(parents=True)
        for name in _ADAPTER_FILES:
            copy_file(adapter.path / name, into / str(number) / name)
