"""A decoder on OpenVINO's paged attention, with the blocks of its KV cache in our hands."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openvino
from batching.step_scheduler import Chunk
from contract.tensors import Logits
from openvino import opset13 as ops
from openvino._offline_transformations import paged_attention_transformation

from decoder.cpu_inference import ACTIVATION_GROUP, EXACT, FAST, Properties, compile_for_cpu, read_model
from decoder.step_tensors import step_tensors


class PagedModel:
    """Not safe to share between threads."""

    def __init__(self, engine: Path, num_blocks: int, properties: Properties | None = None) -> None:
        """The properties are those of the layers; by default the fastest that keep a text independent."""
        layers = read_model(engine / "openvino_model.xml")
        paged_attention_transformation(layers)
        head = compile_for_cpu(_cut_off_head(layers), EXACT)
        self.vocab_size = int(head.output(0).partial_shape[1].get_length())
        self._head = head.create_infer_request()
        self._padding_block = num_blocks
        compiled = compile_for_cpu(layers, properties or _layer_properties(layers))
        self._layers = compiled.create_infer_request()
        for name, cache in _kv_cache(compiled, num_blocks + 1).items():
            self._layers.set_tensor(name, cache)

    def infer(self, chunks: Sequence[Chunk]) -> Logits:
        """The wanted rows, [rows, vocab_size], to read and change until the next call."""
        for name, array in step_tensors(chunks, self._padding_block).items():
            self._layers.set_tensor(name, openvino.Tensor(array))
        self._layers.infer()
        self._head.set_input_tensor(self._layers.get_output_tensor(0))
        self._head.infer()
        logits: Logits = self._head.get_output_tensor(0).data
        num_rows = sum(chunk.num_rows + len(chunk.draft) for chunk in chunks)
        return logits[:num_rows]


def _cut_off_head(model: openvino.Model) -> openvino.Model:
    """The output matrix as a model of its own; what is left takes "rows", and gives it those positions alone.

    It is a fifth of a small model, and is computed more exactly than the layers.
    """
    result = model.output("logits").get_node()
    head = result.input_value(0).get_node()
    if head.get_type_name() != "MatMul":
        raise RuntimeError(f"the logits must come from MatMul, not from {head.get_type_name()}.")
    hidden, weights = head.input_values()
    width = _width(hidden)
    rows = ops.parameter([-1], openvino.Type.i64, name="rows")
    rows.output(0).tensor.set_names({"rows"})
    flat = ops.reshape(hidden, np.array([-1, width]), special_zero=False)
    model.remove_result(result)
    model.add_results([ops.result(ops.gather(flat, rows, ops.constant(0, dtype=np.int64)))])
    model.add_parameters([rows])
    model.validate_nodes_and_infer_types()
    wanted = ops.parameter([-1, width], openvino.Type.f32)
    return openvino.Model([ops.result(ops.matmul(wanted, weights, False, True))], [wanted], "head")


def _layer_properties(layers: openvino.Model) -> Properties:
    """OpenVINO's products of bytes are the same for any number of rows, those of bfloat16 only up to four:
    a text would depend on what is written beside it.
    """
    products = [op for op in layers.get_ops() if op.get_type_name() == "MatMul"]
    return FAST if all(map(_is_of_bytes, products)) else EXACT


def _is_of_bytes(product: openvino.Node) -> bool:
    """Whether activations are rounded to the weights' bytes or nibbles, which they are in whole groups."""
    hidden, weights = product.input_values()
    stored = weights.get_node()
    while stored.get_input_size():
        stored = stored.input_value(0).get_node()
    return stored.get_element_type().bitwidth <= 8 and _width(hidden) % ACTIVATION_GROUP == 0


def _width(hidden: openvino.Output) -> int:
    return int(hidden.get_partial_shape()[-1].get_length())


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
    model = read_model(engine / "openvino_model.xml")
    return int(model.output("logits").partial_shape[2].get_length())
