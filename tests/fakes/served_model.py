"""A model whose engine honours everything, for tests without a Triton."""

from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from frontend.triton.model import ServedModel

_REPOSITORY = Path(__file__).parents[2] / "model_repository"


def _config(model: str) -> model_config_pb2.ModelConfig:
    return text_format.Parse(
        (_REPOSITORY / model / "config.pbtxt").read_text(), model_config_pb2.ModelConfig()
    )


SERVED = ServedModel(
    name="m",
    ensemble="ensemble",
    ids_ensemble="ensemble_ids",
    max_model_len=8192,
    max_num_seqs=8,
    end_id=2,
    stop_ids=frozenset({2}),
    special_ids=frozenset({0, 1, 2}),
    vocab_size=256,
    vocabulary=[bytes([number]) for number in range(256)],
    input_types={
        tensor.name: tensor.data_type
        for model in ("preprocess", "ensemble")
        for tensor in _config(model).input
    },
    output_datatypes={},
    tokens_per_block=None,
    sends_all_metrics=False,
    engine_inputs=frozenset(tensor.name for tensor in _config("tensorrt_llm").input),
    adapters={"adapter": 7},
    created=0,
)
