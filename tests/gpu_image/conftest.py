"""A Python that sees what the models see in NVIDIA's image, and nothing of .venv."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.gpu_image import fetch

DOUBLES = Path(__file__).with_name("doubles")

InImage = Callable[..., str]


@pytest.fixture(scope="session")
def image_packages() -> list[Path]:
    """Folders for a Python's path, in order."""
    return [fetch(), DOUBLES]


@pytest.fixture
def in_image(image_packages: list[Path], tmp_path: Path) -> InImage:
    """Runs Python code in it, with the given folders beside; returns what it prints."""

    def run(code: str, *folders: Path) -> str:
        path = os.pathsep.join(map(str, [*folders, *image_packages]))
        environment = {"PATH": os.defpath, "PYTHONPATH": path, "HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(
            [sys.executable, "-S", "-c", code], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
