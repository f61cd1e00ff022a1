"""Which ensemble outputs a generation asks for decides which steps Triton runs."""

from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from frontend.generation.request import SPARING_OUTPUTS
from frontend.triton.model import IDS_OUTPUTS

MODELS = Path(__file__).parents[3] / "model_repository"


def config_of(model: str) -> model_config_pb2.ModelConfig:
    return text_format.Parse((MODELS / model / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())


def test_the_engine_runs_without_postprocess() -> None:
    """The count of tritonserver 2.51: docs/architecture.md, "Pruning"."""
    config = config_of("ensemble")
    engine, postprocess = config.ensemble_scheduling.step[1:]
    made = list(engine.output_map.values())
    exposed = {tensor.name for tensor in config.output}
    asked_for = {"output_ids", "num_input_tokens", *SPARING_OUTPUTS}
    assert asked_for <= exposed & set(made)
    unasked = [name for name in made if name in exposed - asked_for]
    read_by_postprocess = [name for name in postprocess.input_map.values() if name in made]
    assert len(made) > len(unasked) + len(read_by_postprocess)


def test_the_ensemble_of_ids_has_nothing_that_is_not_asked_for() -> None:
    """Triton keeps what nobody asks for until the request ends."""
    assert [tensor.name for tensor in config_of("ensemble_ids").output] == list(IDS_OUTPUTS)


def test_the_ensemble_of_ids_is_the_ensemble_without_log_probs_and_postprocess() -> None:
    whole, lean = config_of("ensemble"), config_of("ensemble_ids")
    log_prob_inputs = {
        "return_log_probs",
        "num_prompt_log_probs",
        "return_context_logits",
        "return_generation_logits",
    }
    assert list(lean.input) == [tensor for tensor in whole.input if tensor.name not in log_prob_inputs]
    preprocess, engine = lean.ensemble_scheduling.step
    assert preprocess == whole.ensemble_scheduling.step[0]
    whole_engine = whole.ensemble_scheduling.step[1]
    assert dict(engine.input_map) == {
        name: source for name, source in whole_engine.input_map.items() if source not in log_prob_inputs
    }
    assert dict(engine.output_map) == {name: name for name in IDS_OUTPUTS}
