"""`make build-engines BACKEND=llmapi`: the engine folder, and what stops it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from build.__main__ import main
from build.backend_choice import LLM_API, choose_backend
from build.errors import BuildError
from build.llm_api.repository import COMMITTED, read_llm_api
from build.manifest import read_manifest
from build.repository import read_config
from tests.build.llm_api.conftest import PACKAGE, Folder
from tests.build.tiny_llama import tiny_config, write_hugging_face

ROOT = Path(__file__).parents[3]
Build = Callable[..., Folder]


def test_the_tensors_are_those_of_the_committed_engine(build: Build) -> None:
    rendered, own = (
        read_config(build().model / "config.pbtxt"),
        read_config(COMMITTED / "tensorrt_llm/config.pbtxt"),
    )
    assert list(rendered.input) == list(own.input)
    assert list(rendered.output) == list(own.output)
    assert rendered.model_transaction_policy == own.model_transaction_policy
    assert rendered.backend == "python"


def test_the_models_in_front_and_behind_are_the_same_files(build: Build) -> None:
    repository = build().path / "model_repository"
    for name in ("preprocess", "postprocess"):
        for path in (COMMITTED / name / "1").glob("*.py"):
            assert (repository / name / "1" / path.name).read_bytes() == path.read_bytes()


def test_the_model_loads_from_its_folder_alone(build: Build) -> None:
    """Its own modules and the shared ones; the project is on the path for the double's record alone."""
    folder = build()
    (folder.path / "triton_python_backend_utils.py").write_text(
        "TRITONSERVER_RESPONSE_COMPLETE_FINAL = 1\nclass TritonModelException(Exception): pass\n"
    )
    script = f"""
import json, sys
sys.path[:0] = [{str(folder.model / "1")!r}, {str(folder.path)!r}, {str(PACKAGE)!r}, {str(ROOT)!r}]
import model
loaded = model.TritonPythonModel()
config = {json.dumps(json.dumps(folder.config))}
loaded.initialize({{"model_config": config, "model_repository": {str(folder.model)!r}}})
loaded.finalize()
from contract import tensors
assert tensors.__file__.startswith({str(folder.model)!r}), tensors.__file__
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_is_asked_for_is_what_is_served(build: Build, checkpoint: Path) -> None:
    folder = build(tensor_parallel=2, pipeline_parallel=2, max_model_len=256, served_model_name="mine")
    serving = read_llm_api(folder.path)
    assert serving is not None
    assert serving.checkpoint == checkpoint.resolve()
    assert (serving.world_size, serving.max_num_seqs) == (4, 16)
    manifest = read_manifest(folder.path)
    assert manifest is not None
    assert manifest.limits.max_model_len == 256
    ensemble = read_config(folder.path / "model_repository" / "ensemble" / "config.pbtxt")
    assert ensemble.parameters["served_model_name"].string_value == "mine"


def test_the_window_is_the_models_unless_another_is_asked_for(build: Build) -> None:
    assert build().config["parameters"]["max_model_len"]["string_value"] == "512"


def test_adapters_are_named_by_the_ensemble_and_lie_beside_the_repository(
    build: Build, adapter: Path
) -> None:
    folder = build(adapters=(f"support={adapter}", f"legal={adapter}"))
    ensemble = read_config(folder.path / "model_repository" / "ensemble" / "config.pbtxt")
    assert ensemble.parameters["lora_adapters"].string_value == "support=1,legal=2"
    assert sorted(path.name for path in (folder.path / "lora").iterdir()) == ["1", "2"]
    assert "lora_task_id" not in folder.config["parameters"]["unsupported_inputs"]["string_value"]


def test_settings_override_what_is_rendered(build: Build) -> None:
    folder = build(serving={"kv_cache_dtype": "fp8", "max_num_tokens": "4096"})
    assert folder.config["parameters"]["kv_cache_dtype"]["string_value"] == "fp8"
    assert folder.config["parameters"]["max_num_tokens"]["string_value"] == "4096"


BAD_ORDERS: list[tuple[str, dict[str, Any]]] = [
    ("does not divide the model's 2 KV heads", {"tensor_parallel": 4}),
    ("MAX_SEQ_LEN=4096 is more than the 512", {"max_model_len": 4096}),
    ("batch_scheduler_policy can't be set", {"serving": {"batch_scheduler_policy": "max_utilization"}}),
    ("there is no file or folder", {"model": Path("/nowhere")}),
    ("LORA: 'x' is not of the form", {"adapters": ("x",)}),
]


@pytest.mark.parametrize(("complaint", "changes"), BAD_ORDERS)
def test_a_bad_order_is_refused_and_leaves_nothing(
    build: Build, tmp_path: Path, complaint: str, changes: dict[str, Any]
) -> None:
    with pytest.raises(BuildError, match=complaint):
        build(**changes)
    assert not list((tmp_path / "engines").glob("[!.]*"))


def test_a_broken_checkpoint_is_refused(build: Build, tmp_path: Path) -> None:
    folder = write_hugging_face(tmp_path / "broken", tiny_config())
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(BuildError, match="download the rest"):
        build(model=folder)


def test_from_the_command_line(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "--backend",
        "llmapi",
        "--model",
        str(checkpoint),
        "--name",
        "tiny",
        "--engines-dir",
        str(tmp_path),
    ]
    assert main([*arguments, "--tp", "2", "--config", "kv_cache_dtype=fp8"]) == 0
    serving = read_llm_api(tmp_path / "tiny")
    assert serving is not None
    assert serving.tensor_parallel == 2
    assert "is ready" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("complaint", "more"),
    [
        ("RECIPE, SET and PRECISION", ["--precision", "fp8"]),
        ("RECIPE, SET and PRECISION", ["--recipe", "llama-3.1-8b-fp8"]),
        ("TP must be a whole number", ["--tp", "two"]),
        ("MAX_BATCH_SIZE must be a whole number", ["--max-batch-size", "0"]),
    ],
)
def test_what_it_can_not_honour_is_refused(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], complaint: str, more: list[str]
) -> None:
    arguments = ["--backend", "llmapi", "--model", str(checkpoint), "--engines-dir", str(tmp_path)]
    assert main([*arguments, *more]) == 1
    assert complaint in " ".join(capsys.readouterr().err.split())


def test_it_is_chosen_by_name_alone_and_needs_a_model() -> None:
    assert choose_backend(LLM_API, Path("model"), None, True, lambda: None) == LLM_API
    with pytest.raises(BuildError, match="MODEL"):
        choose_backend(LLM_API, None, None, False, lambda: None)


def test_other_engine_folders_are_not_taken_for_it(tmp_path: Path) -> None:
    assert read_llm_api(tmp_path) is None
    assert read_llm_api(COMMITTED.parent) is None
