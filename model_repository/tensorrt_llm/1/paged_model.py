"""A decoder on OpenVINO's paged attention, with the blocks of its KV cache in our hands."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import openvino
from cpu_inference import PROPERTIES, compile_for_cpu
from openvino import opset13 as ops
from openvino._offline_transformations import paged_attention_transformation
from step_scheduler import Chunk
from step_tensors import step_tensors
from token_scores import Logits


class PagedModel:
    """Not safe to share between threads."""

    def __init__(
        self, engine: Path, num_blocks: int, properties: Mapping[str, str | bool] = PROPERTIES
    ) -> None:
        model = openvino.Core().read_model(engine / "openvino_model.xml")
        paged_attention_transformation(model)
        _select_rows(model)
        self._padding_block = num_blocks
        compiled = compile_for_cpu(model, properties)
        self.vocab_size = int(compiled.output(0).partial_shape[2].get_length())
        self._request = compiled.create_infer_request()
        for name, cache in _kv_cache(compiled, num_blocks + 1).items():
            self._request.set_tensor(name, cache)

    def infer(self, chunks: Sequence[Chunk]) -> Logits:
        """The wanted rows, [rows, vocab_size], to read and change until the next call."""
        for name, array in step_tensors(chunks, self._padding_block).items():
            self._request.set_tensor(name, openvino.Tensor(array))
        self._request.infer()
        logits: Logits = self._request.get_output_tensor(0).data
        num_rows = sum(chunk.num_rows + len(chunk.draft) for chunk in chunks)
        return logits.reshape(-1, self.vocab_size)[:num_rows]


def _select_rows(model: openvino.Model) -> None:
    """Adds the input "rows": only those positions go through the output matrix, a fifth of a small model."""
    output = model.output("logits").get_node().input_value(0).get_node()
    if output.get_type_name() != "MatMul":
        raise RuntimeError(f"the logits must come from MatMul, not from {output.get_type_name()}.")
    rows = ops.parameter([-1], openvino.Type.i64, name="rows")
    rows.output(0).tensor.set_names({"rows"})
    selected = ops.gather(output.input_value(0), rows, ops.constant(0, dtype=np.int64))
    output.input(0).replace_source_output(selected.output(0))
    model.add_parameters([rows])
    model.validate_nodes_and_infer_types()


def _kv_cache(compiled: openvino.CompiledModel, num_blocks: int) -> dict[str, openvino.Tensor]:
    """Memory that the system provides only as blocks come into use."""
    caches = {}
    for port in compiled.inputs:
        name = port.any_name
        if name.startswith(("key_cache.", "value_cache.")):
            block = [int(size.get_length()) for size in list(port.partial_shape)[1:]]
            caches[name] = openvino.Tensor(port.element_type, openvino.Shape([num_blocks, *block]))
    return caches


def read_vocab_size(engine: Path) -> int:
    model = openvino.Core().read_model(engine / "openvino_model.xml")
    return int(model.output("logits").partial_shape[2].get_length())
