"""Where things lie; everything that is not the source is made by make and ignored by git."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
CACHE = ROOT / ".cache"
LOGS = CACHE / "logs"
ENGINES = ROOT / "engines"
RESULTS = ROOT / "results"
# NVIDIA's image has it; there the models run in the image's own Python, and .venv is for what starts them.
TENSORRT_LLM_BACKEND = Path("/opt/tritonserver/backends/tensorrtllm")
_IS_GPU_IMAGE = TENSORRT_LLM_BACKEND.is_dir()
# What serving needs, and everything with the tools and the tests.
SERVING_LOCK = ROOT / ("deploy/gpu_node.txt" if _IS_GPU_IMAGE else "scripts/serving.txt")
LOCK = SERVING_LOCK if _IS_GPU_IMAGE else ROOT / "scripts/requirements.txt"
