"""The whole way from a checkpoint to a served repository, over stand-ins of upstream's tools."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from build.errors import BuildError
from build.manifest import read_manifest
from build.repository import CONFIG, read_config
from build.tensorrt_llm.toolchain import IMAGE
from tests.build.compiled_engine import NEWER, OLDER
from tests.build.tensorrt_llm.conftest import Workshop
from tests.build.tensorrt_llm.llama_folder import write_adapter
from tests.build.tensorrt_llm.standins import h100

STEPS = ["generate_xgrammar_tokenizer_info", "quantize", "build"]


def ran(workshop: Workshop) -> list[str]:
    """The build tools that were called, in order."""
    return [call[0] for call in workshop.tools.calls() if call[0] not in ("nvidia-smi", "docker")]


def flag(words: list[str], name: str) -> str:
    return words[words.index(f"--{name}") + 1]


def test_engine_folder_is_complete(workshop: Workshop) -> None:
    said = workshop.build(precision="fp8")
    assert ran(workshop) == STEPS
    assert "is ready; it serves Llama-3.1-8B-Instruct." in said
    assert {path.name for path in workshop.engine.iterdir()} == {
        "engine",
        "logs",
        "manifest.json",
        "model_repository",
        "tokenizer",
    }
    assert {path.name for path in (workshop.engine / "engine").iterdir()} == {"config.json", "rank0.engine"}
    assert {path.name for path in (workshop.engine / "tokenizer").iterdir()} == {
        "tokenizer.json",
        "chat_template.jinja",
        "tokenizer_config.json",
        "xgrammar_tokenizer_info.json",
    }
    assert {path.name for path in workshop.engine.parent.iterdir()} == {"llama", ".llama.lock"}


@pytest.mark.parametrize("spelling", [NEWER, OLDER])
def test_an_engine_is_taken_in_either_spelling(workshop: Workshop, spelling: str) -> None:
    workshop.tools.write_as(spelling)
    assert "is ready" in workshop.build(precision="fp8")


@pytest.mark.parametrize(
    ("flag", "tool"), [("--multiple_profiles", "trtllm-build"), ("--calib_size", "quantize.py")]
)
def test_a_flag_that_upstream_removed_is_told_before_any_work(
    workshop: Workshop, flag: str, tool: str
) -> None:
    workshop.tools.lose(flag)
    with pytest.raises(BuildError, match=f"{tool} in .* has no flag {flag}; take it out of the recipe"):
        workshop.build(precision="fp8")
    assert ran(workshop) == []


def test_repository_is_that_of_the_engine(workshop: Workshop) -> None:
    workshop.build(precision="fp8", settings=("build.max_seq_len=4096",), serving={"max_queue_size": "7"})
    repository = workshop.engine / "model_repository"
    config = read_config(repository / "tensorrt_llm" / CONFIG)
    assert config.backend == "tensorrtllm"
    assert config.dynamic_batching.default_queue_policy.max_queue_size == 7
    assert config.parameters["xgrammar_tokenizer_info_path"].string_value
    preprocess = read_config(repository / "preprocess" / CONFIG)
    assert preprocess.parameters["max_model_len"].string_value == "4096"


def test_manifest_states_what_was_built(workshop: Workshop) -> None:
    workshop.build(precision="fp8", serving={"max_queue_size": "7"})
    manifest = read_manifest(workshop.engine)
    assert manifest is not None
    assert (manifest.inputs.engine_kind, manifest.inputs.precision) == ("tensorrt_llm", "fp8")
    assert manifest.inputs.versions == {"tensorrt_llm": "1.2.1"}
    assert manifest.inputs.options["build.max_batch_size"] == "512"
    assert (manifest.limits.max_model_len, manifest.limits.vocab_size) == (131072, 128256)
    assert manifest.serving == {"max_queue_size": "7"}


def test_checkpoint_keeps_its_precision_unless_told(workshop: Workshop) -> None:
    workshop.build()
    assert ran(workshop) == ["generate_xgrammar_tokenizer_info", "convert_checkpoint", "build"]


def test_unchanged_order_does_nothing(workshop: Workshop) -> None:
    workshop.build(precision="fp8")
    workshop.tools.forget_calls()
    workshop.tools.set_gpus()  # the machine is not even looked at
    assert workshop.build(precision="fp8").strip().endswith("is up to date.")
    assert ran(workshop) == []


@pytest.mark.parametrize("wish", [{"served_model_name": "other"}, {"serving": {"max_queue_size": "9"}}])
def test_new_names_render_the_repository_alone(wish: dict[str, object], workshop: Workshop) -> None:
    workshop.build(precision="fp8")
    engine = (workshop.engine / "engine" / "rank0.engine").stat().st_ino
    workshop.tools.forget_calls()
    assert "is ready" in workshop.build(precision="fp8", **wish)
    assert ran(workshop) == []
    assert (workshop.engine / "engine" / "rank0.engine").stat().st_ino == engine


@pytest.mark.parametrize(
    "wish",
    [{"precision": "bf16"}, {"precision": "fp8", "settings": ("max_num_tokens=2048",)}],
)
def test_new_flags_build_anew(wish: dict[str, object], workshop: Workshop) -> None:
    workshop.build(precision="fp8")
    workshop.tools.forget_calls()
    workshop.build(**wish)
    assert ran(workshop)[-1] == "build"


def test_new_weights_build_anew(workshop: Workshop) -> None:
    workshop.build(precision="fp8")
    workshop.tools.forget_calls()
    (workshop.model / "generation_config.json").write_text('{"eos_token_id": [2]}')
    workshop.build(precision="fp8")
    assert ran(workshop) == STEPS


@pytest.mark.parametrize("failing", STEPS)
def test_failed_step_is_told_and_the_next_run_goes_on_there(failing: str, workshop: Workshop) -> None:
    workshop.tools.fail(failing)
    with pytest.raises(BuildError) as caught:
        workshop.build(precision="fp8")
    told = str(caught.value)
    assert "ended with status 3" in told
    assert "RuntimeError: out of luck" in told
    assert "line 39" in told
    assert "line 3\n" not in told
    log = next(line.split(": ")[1] for line in told.splitlines() if line.strip().startswith("log: "))
    assert Path(log).read_text().startswith("$ ")
    assert not workshop.engine.exists()
    workshop.tools.fail(None)
    workshop.tools.forget_calls()
    said = workshop.build(precision="fp8")
    assert ran(workshop) == STEPS[STEPS.index(failing) :]
    assert said.count("done before") == STEPS.index(failing)


def test_resuming_with_another_engine_keeps_the_checkpoint(workshop: Workshop) -> None:
    workshop.tools.fail("build")
    with pytest.raises(BuildError):
        workshop.build(precision="fp8")
    workshop.tools.fail(None)
    workshop.tools.forget_calls()
    workshop.build(precision="fp8", settings=("build.max_batch_size=8",))
    assert ran(workshop) == ["build"]
    assert flag(workshop.tools.calls("build")[0], "max_batch_size") == "8"


@pytest.mark.parametrize(
    ("wish", "again"),
    [
        ({"settings": ("calib_size=64",)}, ["quantize", "build"]),
        ({"precision": "bf16"}, ["convert_checkpoint", "build"]),
    ],
)
def test_resuming_with_another_checkpoint_makes_it_anew(
    wish: dict[str, object], again: list[str], workshop: Workshop
) -> None:
    workshop.tools.fail("build")
    with pytest.raises(BuildError):
        workshop.build(precision="fp8")
    workshop.tools.fail(None)
    workshop.tools.forget_calls()
    workshop.build(**{"precision": "fp8", **wish})
    assert ran(workshop) == again


def test_lost_results_are_made_again(workshop: Workshop) -> None:
    workshop.tools.fail("build")
    with pytest.raises(BuildError):
        workshop.build(precision="fp8")
    (workshop.engine.parent / ".llama.build" / "checkpoint" / "rank0.safetensors").unlink()
    workshop.tools.fail(None)
    workshop.tools.forget_calls()
    workshop.build(precision="fp8")
    assert ran(workshop) == ["quantize", "build"]


def test_failed_rebuild_keeps_the_old_engine(workshop: Workshop) -> None:
    workshop.build(precision="fp8")
    workshop.tools.fail("build")
    with pytest.raises(BuildError):
        workshop.build(precision="bf16")
    manifest = read_manifest(workshop.engine)
    assert manifest is not None
    assert manifest.inputs.precision == "fp8"


def test_through_docker(docker_workshop: Workshop) -> None:
    said = docker_workshop.build(precision="fp8")
    assert f"Pulling {IMAGE}" in said
    assert ran(docker_workshop) == STEPS
    assert (docker_workshop.engine / "engine" / "rank0.engine").is_file()


def test_through_docker_from_a_hugging_face_cache(docker_workshop: Workshop) -> None:
    """There the files are links into another folder, which must be mounted too."""
    root = docker_workshop.root / "models--meta-llama--Llama-3.1-8B-Instruct"
    shutil.copytree(docker_workshop.model, root / "blobs")
    snapshot = root / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    for path in (root / "blobs").iterdir():
        (snapshot / path.name).symlink_to(f"../../blobs/{path.name}")
    said = docker_workshop.build(model=snapshot, precision="fp8")
    assert "it serves meta-llama/Llama-3.1-8B-Instruct." in said


def test_overrides_reach_the_commands(workshop: Workshop) -> None:
    workshop.tools.set_gpus(*(h100(index) for index in range(4)))
    settings = ("tp_size=2", "pp_size=2", "build.max_seq_len=8192", "max_num_tokens=2048", "build.workers=1")
    workshop.build(precision="fp8", settings=settings)
    quantize, build = workshop.tools.calls("quantize")[0], workshop.tools.calls("build")[0]
    assert (flag(quantize, "tp_size"), flag(quantize, "pp_size")) == ("2", "2")
    assert (flag(build, "max_seq_len"), flag(build, "max_num_tokens")) == ("8192", "2048")
    assert flag(build, "workers") == "1"
    assert {path.name for path in (workshop.engine / "engine").glob("*.engine")} == {
        f"rank{rank}.engine" for rank in range(4)
    }


def test_ranks_are_compiled_side_by_side(workshop: Workshop) -> None:
    workshop.tools.set_gpus(*(h100(index) for index in range(4)))
    workshop.build(settings=("tp_size=2",))
    assert flag(workshop.tools.calls("build")[0], "workers") == "2"


def test_nodes_of_four_gpus(workshop: Workshop) -> None:
    workshop.tools.set_gpus(*(h100(index) for index in range(4)))
    workshop.build(settings=("tp_size=4", "pp_size=2", "gpus_per_node=4"))
    config = json.loads((workshop.engine / "engine" / "config.json").read_text())
    assert config["pretrained_config"]["mapping"]["gpus_per_node"] == 4
    rendered = read_config(workshop.engine / "model_repository" / "tensorrt_llm" / CONFIG)
    assert rendered.parameters["num_nodes"].string_value == "2"


def test_adapters_are_converted_and_named(workshop: Workshop) -> None:
    first = write_adapter(workshop.root / "sql", "self_attn.q_proj", "self_attn.v_proj")
    second = write_adapter(workshop.root / "law", "mlp.gate_proj", rank=32)
    workshop.build(precision="fp8", adapters=(f"sql={first}", f"acme/law={second}"))
    quantize, build = workshop.tools.calls("quantize")[0], workshop.tools.calls("build")[0]
    assert flag(quantize, "dtype") == "float16"
    assert (flag(build, "lora_plugin"), flag(build, "max_lora_rank")) == ("auto", "32")
    start = build.index("--lora_target_modules") + 1
    assert build[start : start + 3] == ["attn_q", "attn_v", "mlp_h_to_4h"]
    for number in ("1", "2"):
        folder = workshop.engine / "lora" / number
        assert np.load(folder / "model.lora_config.npy").shape == (1, 2, 3)
        assert np.load(folder / "model.lora_weights.npy").dtype == np.float16
    ensemble = read_config(workshop.engine / "model_repository" / "ensemble" / CONFIG)
    assert ensemble.parameters["lora_adapters"].string_value == "sql=1,acme/law=2"
    assert workshop.build(precision="fp8", adapters=(f"sql={first}", f"acme/law={second}")).endswith(
        "is up to date.\n"
    )


def test_changed_adapters_are_converted_again(workshop: Workshop) -> None:
    adapter = write_adapter(workshop.root / "sql", "self_attn.q_proj")
    wish = {"precision": "fp8", "adapters": (f"sql={adapter}",)}
    workshop.tools.fail("build")
    with pytest.raises(BuildError):
        workshop.build(**wish)
    (adapter / "adapter_config.json").write_text('{"r": 8, "lora_alpha": 32}')
    workshop.tools.fail(None)
    workshop.tools.forget_calls()
    workshop.build(**wish)
    assert ran(workshop) == ["hf_lora_convert", "build"]


def test_adapters_of_an_earlier_order_are_left_out(workshop: Workshop) -> None:
    adapters = [
        f"{name}={write_adapter(workshop.root / name, 'self_attn.q_proj')}" for name in ("sql", "law")
    ]
    workshop.tools.fail("build")
    with pytest.raises(BuildError):
        workshop.build(precision="fp8", adapters=tuple(adapters))
    workshop.tools.fail(None)
    workshop.build(precision="fp8", adapters=(adapters[0],))
    assert [path.name for path in (workshop.engine / "lora").iterdir()] == ["1"]


def test_another_version_is_refused(workshop: Workshop) -> None:
    workshop.tools.set_version("1.0.0")
    with pytest.raises(BuildError, match=r"is 1\.0\.0, and engines are built and served with 1\.2\.1"):
        workshop.build()
    assert ran(workshop) == []


def test_missing_tools_are_told_with_everything_else(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    workshop.memory_bytes = 1
    with pytest.raises(BuildError) as caught:
        workshop.build()
    told = str(caught.value)
    for part in (
        "3 things to put right",
        "nvidia-smi lists no GPU",
        "host memory",
        "Neither trtllm-build nor",
    ):
        assert part in told


def test_tools_without_examples_are_refused(workshop: Workshop) -> None:
    workshop.variables.clear()
    with pytest.raises(BuildError, match="TENSORRT_LLM_EXAMPLES"):
        workshop.build()


def test_larger_tokenizer_than_the_model_is_refused(workshop: Workshop) -> None:
    config = json.loads((workshop.model / "config.json").read_text())
    (workshop.model / "config.json").write_text(json.dumps(config | {"vocab_size": 259}))
    with pytest.raises(BuildError, match="The tokenizer has 260 tokens, the model only 259"):
        workshop.build()
    assert ran(workshop) == []
