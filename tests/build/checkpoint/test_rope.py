"""Rotary frequencies, against rules written down one frequency at a time."""

from typing import Any

import numpy as np
import pytest

from build.checkpoint.rope import inverse_frequencies, scale_by_config
from build.errors import BuildError
from tests.build.tiny_llama import rope_frequencies

# As in config.json of Llama 3.1.
LLAMA_3_1 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


@pytest.mark.parametrize(
    "scaling",
    [
        None,
        {"rope_type": "default", "rope_theta": 500000.0},
        {"rope_type": "linear", "factor": 4.0},
        LLAMA_3_1,
        LLAMA_3_1 | {"factor": 32.0},
    ],
)
def test_frequencies_follow_the_rule(scaling: dict[str, Any] | None) -> None:
    expected = rope_frequencies(
        {"hidden_size": 4096, "num_attention_heads": 32, "rope_theta": 500000.0, "rope_scaling": scaling}
    )
    np.testing.assert_allclose(
        scale_by_config(inverse_frequencies(500000.0, 128), scaling), expected, rtol=1e-12
    )


def test_llama_3_1_keeps_short_and_slows_long_wavelengths() -> None:
    plain = inverse_frequencies(500000.0, 128)
    ratio = plain / scale_by_config(plain, LLAMA_3_1)
    assert ratio[0] == 1.0
    assert ratio[-1] == pytest.approx(8.0)
    assert np.all(np.diff(ratio) >= -1e-9)


def test_older_key_type_is_read() -> None:
    plain = inverse_frequencies(10000.0, 8)
    np.testing.assert_allclose(scale_by_config(plain, {"type": "linear", "factor": 2.0}), plain / 2)


@pytest.mark.parametrize(
    ("scaling", "sentence"),
    [
        ({"rope_type": "yarn", "factor": 2.0}, "rope_scaling type 'yarn' is not supported"),
        ({"rope_type": "linear"}, "lacks 'factor'"),
        ({"rope_type": "llama3", "factor": 8.0}, "lacks 'low_freq_factor'"),
    ],
)
def test_unknown_scaling_is_refused(scaling: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BuildError, match=sentence):
        scale_by_config(inverse_frequencies(10000.0, 8), scaling)
