"""Which ensemble outputs a generation asks for decides which steps Triton runs."""

from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from frontend.generation import SPARING_OUTPUTS

ENSEMBLE = Path(__file__).parents[2] / "model_repository" / "ensemble" / "config.pbtxt"


def test_the_engine_runs_without_postprocess() -> None:
    """The count of tritonserver 2.51: docs/architecture.md, "Pruning"."""
    config = text_format.Parse(ENSEMBLE.read_text(), model_config_pb2.ModelConfig())
    engine, postprocess = config.ensemble_scheduling.step[1:]
    made = list(engine.output_map.values())
    exposed = {tensor.name for tensor in config.output}
    asked_for = {"output_ids", "num_input_tokens", *SPARING_OUTPUTS}
    assert asked_for <= exposed & set(made)
    unasked = [name for name in made if name in exposed - asked_for]
    read_by_postprocess = [name for name in postprocess.input_map.values() if name in made]
    assert len(made) > len(unasked) + len(read_by_postprocess)
