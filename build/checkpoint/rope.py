"""Inverse frequencies of the rotary embedding, plain and scaled, as Llama defines them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from build.errors import BuildError


@dataclass(frozen=True)
class Llama3Scaling:
    """The four numbers of Llama 3.1's scaling; the original context is in tokens."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_context: int


def inverse_frequencies(theta: float, head_size: int) -> NDArray[np.float64]:
    """Radians per position of each rotated pair, shape [head_size / 2]."""
    # Above all that there are; a damaged file's number would fill the memory.
    if not 0 < head_size <= 4096 or head_size % 2:
        raise BuildError(f"The model's head size must be even and 4096 at most, not {head_size}.")
    exponents = np.arange(0, head_size, 2, dtype=np.float64) / head_size
    return np.asarray(theta**-exponents, dtype=np.float64)


def scale_llama3(frequencies: NDArray[np.float64], scaling: Llama3Scaling) -> NDArray[np.float64]:
    """Slows long wavelengths by the factor, keeps short ones, and blends those between."""
    turns = scaling.original_context * frequencies / (2 * math.pi)
    span = scaling.high_freq_factor - scaling.low_freq_factor
    kept = np.clip((turns - scaling.low_freq_factor) / span, 0.0, 1.0)
    return np.asarray(frequencies * (kept + (1.0 - kept) / scaling.factor), dtype=np.float64)


def scale_by_config(
    frequencies: NDArray[np.float64], scaling: Mapping[str, Any] | None
) -> NDArray[np.float64]:
    """Applies a Hugging Face `rope_scaling` or `rope_parameters` object."""
    scaling = scaling or {}
    # A factor without a type is no default: transformers can't load it either.
    plain = None if "factor" in scaling else "default"
    kind = scaling.get("rope_type", scaling.get("type", plain))
    if kind == "default":
        return frequencies
    try:
        if kind in ("linear", "llama3") and not float(scaling["factor"]) > 0:
            raise BuildError(f"config.json: rope_scaling's factor must be above 0, not {scaling['factor']}.")
        if kind == "linear":
            return frequencies / float(scaling["factor"])
        if kind == "llama3":
            return scale_llama3(frequencies, _llama3_scaling(scaling))
    except KeyError as missing:
        raise BuildError(f"config.json: rope_scaling of type {kind!r} lacks {missing}.") from missing
    raise BuildError(
        f"config.json: rope_scaling type {kind!r} is not supported; it must be default, linear or llama3."
    )


def _llama3_scaling(scaling: Mapping[str, Any]) -> Llama3Scaling:
    return Llama3Scaling(
        factor=float(scaling["factor"]),
        low_freq_factor=float(scaling["low_freq_factor"]),
        high_freq_factor=float(scaling["high_freq_factor"]),
        original_context=int(scaling["original_max_position_embeddings"]),
    )
