"""How every model of this engine runs on the CPU."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import openvino

Properties: TypeAlias = Mapping[str, str | bool]

# One for the whole process: when the last one is gone so is the CPU plugin, and the next signal ends the
# process with a segmentation fault, even if it is handled (2026.4.1).
_CORE = openvino.Core()

# Activations that share a scale: by 32, OpenVINO's default, a prompt takes a tenth longer.
ACTIVATION_GROUP = 64

# In bfloat16 where the CPU computes it, else in float32.
FAST: Properties = {
    "DYNAMIC_QUANTIZATION_GROUP_SIZE": str(ACTIVATION_GROUP),
    # By channel, the default, a new key rounds those before it in its block anew: what a draft left behind
    # would stay in them. By token every key is rounded once; perplexity is the same (17.62 on 2,400 ids).
    "KEY_CACHE_QUANT_MODE": "BY_TOKEN",
    # A pinned thread waits for its core while another is idle, and Triton's processes need cores too.
    "ENABLE_CPU_PINNING": False,
}
# bfloat16 rounds logits to steps of 0.125: ties, and wrong log-probs.
EXACT: Properties = {**FAST, "INFERENCE_PRECISION_HINT": "f32"}


def read_model(path: Path) -> openvino.Model:
    """Raises RuntimeError for a file that is none."""
    return _CORE.read_model(path)


def compile_for_cpu(model: openvino.Model, properties: Properties) -> openvino.CompiledModel:
    return _CORE.compile_model(model, "CPU", dict(properties))
