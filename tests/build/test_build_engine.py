"""From a model to an engine folder, on a model small enough to build in a second or two."""

import io
import json
import os
import resource
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from build.build_engine import Order, build_engine
from build.checkpoint.gguf import GgufCheckpoint
from build.cpu.engine import MODEL_FILES, write_engine
from build.cpu.weights import PRECISIONS, stored_bytes
from build.engine_folder import MANIFEST
from build.errors import BuildError
from build.manifest import read_manifest, write_manifest
from build.progress import Reporter
from build.repository import CONFIG, read_config
from tests.build.tiny_llama import LLAMA3_SCALING, tiny_config, write_gguf, write_hugging_face

QUIET = Reporter(Console(file=io.StringIO()))


def order(model: Path, engines: Path, precision: str = "int8", served: str | None = None) -> Order:
    return Order(model, "tiny", served, precision, engines)


def said_by(wanted: Order) -> str:
    stream = io.StringIO()
    build_engine(wanted, Reporter(Console(file=stream, width=1000)))
    return stream.getvalue()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The engine of a tied Llama with llama3 scaling, beside the model that it was built of."""
    root = tmp_path_factory.mktemp("built")
    model = write_hugging_face(root / "Model", tiny_config(rope_scaling=LLAMA3_SCALING))
    return build_engine(order(model, root / "engines"), QUIET)


@pytest.fixture
def root(built: Path, tmp_path: Path) -> Path:
    """A copy with times kept; `Model` and `engines/tiny` are in it."""
    return Path(shutil.copytree(built.parents[1], tmp_path / "root"))


def test_engine_folder_is_complete(built: Path) -> None:
    assert {path.name for path in built.parent.iterdir()} == {"tiny", ".tiny.lock"}
    assert {path.name for path in built.iterdir()} == {MANIFEST, "engine", "tokenizer", "model_repository"}
    assert {path.name for path in (built / "engine").iterdir()} == set(MODEL_FILES)
    assert {path.name for path in (built / "tokenizer").iterdir()} == {
        "tokenizer.json",
        "chat_template.jinja",
        "tokenizer_config.json",
    }
    config = read_config(built / "model_repository" / "preprocess" / CONFIG)
    assert config.parameters["max_model_len"].string_value == "512"


def test_manifest_states_the_facts(built: Path) -> None:
    manifest = read_manifest(built)
    assert manifest is not None
    assert manifest.origin == str(built.parents[1] / "Model")
    assert {Path(file.path).name for file in manifest.files} >= {"config.json", "model.safetensors"}
    assert (manifest.inputs.engine_kind, manifest.inputs.precision) == ("openvino", "int8")
    assert (manifest.limits.max_model_len, manifest.limits.vocab_size) == (512, 260)
    assert (manifest.served_model_name, manifest.tokenizer.end_id) == ("Model", 2)


def test_unchanged_inputs_leave_the_engine_alone(root: Path) -> None:
    # The copy lies elsewhere, so that the first run only notes the new paths.
    assert "is ready" in said_by(order(root / "Model", root / "engines"))
    before = (root / "engines" / "tiny").stat().st_ino
    assert said_by(order(root / "Model", root / "engines")).strip().endswith("is up to date.")
    assert (root / "engines" / "tiny").stat().st_ino == before


def test_new_name_keeps_the_engine_and_renders_the_repository(root: Path) -> None:
    engine = root / "engines" / "tiny" / "engine" / MODEL_FILES[1]
    before = engine.stat().st_ino
    assert "Building" not in said_by(order(root / "Model", root / "engines", served="Other"))
    assert engine.stat().st_ino == before
    config = read_config(root / "engines" / "tiny" / "model_repository" / "ensemble" / CONFIG)
    assert config.parameters["served_model_name"].string_value == "Other"


def change_precision(root: Path) -> Order:
    return order(root / "Model", root / "engines", precision="int4")


def change_source(root: Path) -> Order:
    config = tiny_config(rope_scaling=LLAMA3_SCALING, max_position_embeddings=256)
    (root / "Model" / "config.json").write_text(json.dumps(config))
    return order(root / "Model", root / "engines")


def lose_engine(root: Path) -> Order:
    (root / "engines" / "tiny" / "engine" / MODEL_FILES[1]).unlink()
    return order(root / "Model", root / "engines")


def change_kind(root: Path) -> Order:
    return order(write_gguf(root / "tiny.gguf", tiny_config()), root / "engines", precision="f16")


@pytest.mark.parametrize("change", [change_precision, change_source, lose_engine, change_kind])
def test_changed_inputs_build_anew(change: type, root: Path) -> None:
    assert "Building the graph" in said_by(change(root))
    assert (root / "engines" / "tiny" / "engine" / MODEL_FILES[1]).exists()


def test_failed_build_keeps_the_old_engine(root: Path) -> None:
    before = sorted(path.name for path in (root / "engines").iterdir())
    (root / "Model" / "tokenizer.json").write_text("{}")
    with pytest.raises(BuildError, match="is not a readable tokenizer"):
        build_engine(order(root / "Model", root / "engines"), QUIET)
    assert sorted(path.name for path in (root / "engines").iterdir()) == before
    assert read_manifest(root / "engines" / "tiny") is not None


@pytest.mark.parametrize("max_bytes", [100, 3000, 20_000])
def test_disk_that_takes_no_more_is_one_sentence_and_leaves_nothing(max_bytes: int, tmp_path: Path) -> None:
    """A bound on the size of a file stands for a full disk: in the tokenizer, then in the engine."""
    model = write_hugging_face(tmp_path / "Model", tiny_config(rope_scaling=LLAMA3_SCALING))
    engines = tmp_path / "engines"
    command = [
        "-m",
        "build",
        "--model",
        model,
        "--name",
        "tiny",
        "--engines-dir",
        engines,
        "--backend",
        "cpu",
    ]
    # What measures the tests has files of its own, which the bound would stop too.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    result = subprocess.run(
        [sys.executable, *map(str, command)],
        env=environment,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, max_bytes)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    errors = result.stderr[result.stderr.index("error: ") :]
    assert "File too large" in errors or "the disk is full" in errors
    assert "Traceback" not in result.stderr
    assert [path.name for path in engines.iterdir()] == [".tiny.lock"]


def test_engine_that_took_hours_is_not_replaced(root: Path) -> None:
    """As where a model's folder is on a disk that machines with and without GPUs share."""
    folder = root / "engines" / "tiny"
    manifest = read_manifest(folder)
    assert manifest is not None
    write_manifest(replace(manifest, inputs=replace(manifest.inputs, engine_kind="tensorrt_llm")), folder)
    with pytest.raises(BuildError, match="is an engine that TensorRT-LLM compiled; give another name"):
        build_engine(order(root / "Model", root / "engines"), QUIET)


def test_tokenizer_larger_than_the_model_is_refused(tmp_path: Path) -> None:
    model = write_hugging_face(tmp_path / "Model", tiny_config(vocab_size=259))
    with pytest.raises(BuildError, match="The tokenizer has 260 tokens, the model only 259"):
        build_engine(order(model, tmp_path / "engines"), QUIET)
    assert os.listdir(tmp_path / "engines") == [".tiny.lock"]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_size_is_estimated(precision: str, tmp_path: Path) -> None:
    checkpoint = GgufCheckpoint(write_gguf(tmp_path / "tiny.gguf", tiny_config(tie_word_embeddings=False)))
    write_engine(checkpoint, precision, tmp_path / "engine", QUIET)
    size = (tmp_path / "engine" / MODEL_FILES[1]).stat().st_size
    assert size == pytest.approx(stored_bytes(checkpoint.config, precision), rel=0.15)
