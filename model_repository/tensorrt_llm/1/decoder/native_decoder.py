"""A decoder on cpu_decoder, a library in C. The structures are those of decoder.h."""

import ctypes
import math
import mmap
from collections.abc import Sequence

import numpy as np
from batching.kv_blocks import BLOCK_TOKENS
from batching.step_scheduler import Chunk
from numpy.typing import NDArray
from sampling.token_scores import Logits

from decoder.library import address
from decoder.step_tensors import step_tensors
from decoder.weights import ByteMatrix, DecoderWeights, LayerWeights

_SCALE_BYTES = 4


class _ByteMatrix(ctypes.Structure):
    _fields_ = (
        ("bytes", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        ("num_inputs", ctypes.c_int),
        ("num_outputs", ctypes.c_int),
        ("group", ctypes.c_int),
    )


class _Layer(ctypes.Structure):
    _fields_ = (
        ("input_norm", ctypes.c_void_p),
        ("attention_norm", ctypes.c_void_p),
        ("projections", _ByteMatrix),
        ("output", _ByteMatrix),
        ("gate", _ByteMatrix),
        ("up", _ByteMatrix),
        ("down", _ByteMatrix),
    )


class _Heads(ctypes.Structure):
    _fields_ = (
        ("num_heads", ctypes.c_int),
        ("num_kv_heads", ctypes.c_int),
        ("head_size", ctypes.c_int),
    )


class _Model(ctypes.Structure):
    _fields_ = (
        ("heads", _Heads),
        ("num_layers", ctypes.c_int),
        ("hidden_size", ctypes.c_int),
        ("inner_size", ctypes.c_int),
        ("norm_epsilon", ctypes.c_float),
        ("frequencies", ctypes.c_void_p),
        ("final_norm", ctypes.c_void_p),
        ("embedding", _ByteMatrix),
        ("head", _ByteMatrix),
        ("layers", ctypes.POINTER(_Layer)),
    )


class _Step(ctypes.Structure):
    _fields_ = (
        ("ids", ctypes.c_void_p),
        ("positions", ctypes.c_void_p),
        ("num_ids", ctypes.c_int),
        ("text_begins", ctypes.c_void_p),
        ("blocks", ctypes.c_void_p),
        ("block_begins", ctypes.c_void_p),
        ("num_texts", ctypes.c_int),
        ("wanted", ctypes.c_void_p),
        ("num_wanted", ctypes.c_int),
    )


class NativeDecoder:
    """Not safe to share between threads. A text is the same whatever is written beside it."""

    def __init__(
        self, weights: DecoderWeights, num_blocks: int, num_threads: int, library: ctypes.CDLL
    ) -> None:
        """Raises MemoryError."""
        self.vocab_size = weights.vocab_size
        self._decoder = None
        self._library = _typed(library)
        # The decoder uses them where they are.
        self._weights = weights
        # Memory that the system provides only as blocks come into use.
        self._kv_cache = _zeros([num_blocks, *_kv_block_shape(weights)])
        model = _model(weights)
        self._layers = model.layers
        self._logits = np.empty([0, weights.head.num_outputs], np.float32)
        self._decoder = self._library.decoder_open(
            ctypes.byref(model), self._kv_cache.ctypes.data, num_threads
        )
        if not self._decoder:
            raise MemoryError("The decoder's threads could not be started.")

    def __del__(self) -> None:
        if self._decoder:
            self._library.decoder_close(self._decoder)

    def infer(self, chunks: Sequence[Chunk]) -> Logits:
        """The wanted rows, [rows, vocab_size], to read and change until the next call; raises MemoryError."""
        tensors = step_tensors(chunks)
        num_rows = len(tensors["rows"])
        if len(self._logits) < num_rows:
            self._logits = np.empty([num_rows, self._logits.shape[1]], np.float32)
        step = _Step(
            ids=tensors["input_ids"].ctypes.data,
            positions=tensors["position_ids"].ctypes.data,
            num_ids=len(tensors["input_ids"]),
            text_begins=tensors["subsequence_begins"].ctypes.data,
            blocks=tensors["block_indices"].ctypes.data,
            block_begins=tensors["block_indices_begins"].ctypes.data,
            num_texts=len(tensors["subsequence_begins"]) - 1,
            wanted=tensors["rows"].ctypes.data,
            num_wanted=num_rows,
        )
        if not self._library.decoder_step(self._decoder, ctypes.byref(step), self._logits.ctypes.data):
            raise MemoryError("The decoder has no memory for the step.")
        return self._logits[:num_rows, : self.vocab_size]


def _typed(library: ctypes.CDLL) -> ctypes.CDLL:
    library.decoder_open.argtypes = (ctypes.POINTER(_Model), ctypes.c_void_p, ctypes.c_int)
    library.decoder_open.restype = ctypes.c_void_p
    library.decoder_step.argtypes = (ctypes.c_void_p, ctypes.POINTER(_Step), ctypes.c_void_p)
    library.decoder_step.restype = ctypes.c_bool
    library.decoder_close.argtypes = (ctypes.c_void_p,)
    library.decoder_close.restype = None
    return library


def _kv_block_shape(weights: DecoderWeights) -> list[int]:
    """Keys and values in bytes, and a scale for each of a token's."""
    return [len(weights.layers), weights.num_kv_heads, 2, BLOCK_TOKENS, weights.head_size + _SCALE_BYTES]


def _model(weights: DecoderWeights) -> _Model:
    layers = (_Layer * len(weights.layers))(*map(_layer, weights.layers))
    return _Model(
        heads=_Heads(weights.num_heads, weights.num_kv_heads, weights.head_size),
        num_layers=len(layers),
        hidden_size=weights.embedding.num_inputs,
        inner_size=weights.layers[0].gate.num_outputs,
        norm_epsilon=weights.norm_epsilon,
        frequencies=address(weights.frequencies),
        final_norm=address(weights.final_norm),
        embedding=_matrix(weights.embedding),
        head=_matrix(weights.head),
        layers=layers,
    )


def _layer(weights: LayerWeights) -> _Layer:
    return _Layer(
        address(weights.input_norm),
        address(weights.attention_norm),
        _matrix(weights.projections),
        _matrix(weights.output),
        _matrix(weights.gate),
        _matrix(weights.up),
        _matrix(weights.down),
    )


def _matrix(matrix: ByteMatrix) -> _ByteMatrix:
    return _ByteMatrix(
        address(matrix.weights), address(matrix.scales), matrix.num_inputs, matrix.num_outputs, matrix.group
    )


def _zeros(shape: list[int]) -> NDArray[np.uint8]:
    """Memory that the system provides only as it comes into use, in huge pages: blocks lie far apart."""
    memory = mmap.mmap(-1, math.prod(shape), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, np.uint8).reshape(shape)
