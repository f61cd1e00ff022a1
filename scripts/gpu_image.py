"""The packages that the models find in NVIDIA's image with TensorRT-LLM 1.2.1, out of wheels."""

from pathlib import Path

from build.errors import run
from build.locked_wheels import fetched
from build.paths import ROOT

_LOCK = ROOT / "scripts" / "gpu_image.txt"


def main() -> int:
    """Fetches them."""
    fetch()
    return 0


def fetch() -> Path:
    """The folder to put on a Python's path, made first if it is not there."""
    return fetched("gpu_image", _LOCK)


if __name__ == "__main__":
    run(main)
