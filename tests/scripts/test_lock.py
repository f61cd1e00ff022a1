"""scripts/*.txt are what `make lock` makes of pyproject.toml, as far as can be told without the network."""

import re
from pathlib import Path

import pytest

from scripts.bench.peers.servers import TORCH

ROOT = Path(__file__).parents[2]
LOCKED = re.compile(r"^([\w.-]+)==([\w.]+)", re.MULTILINE)
LOCKS = [
    "requirements.txt",
    "perf_analyzer.txt",
    "deploy_validators.txt",
    "docker_compose.txt",
    "serving.txt",
    "playwright.txt",
    "../build/uv.txt",
    *(f"../tests/clients/locks/{name}.txt" for name in ("sdks", "llama-index", "aider", "node")),
    "gpu_image.txt",
    "bench/matplotlib.txt",
    "bench/peers/locks/llama-cpp.txt",
    "bench/peers/locks/transformers.txt",
    "bench/peers/locks/vllm.txt",
]
PINS = re.findall(
    r'^\s*(?:(?:perf|plots|peer-[\w-]+) = \[)?"([\w.-]+)(?:\[\w+\])?==([\w.]+)"',
    (ROOT / "pyproject.toml").read_text(),
    re.MULTILINE,
)


def locked(name: str) -> dict[str, str]:
    return dict(LOCKED.findall((ROOT / "scripts" / name).read_text()))


@pytest.mark.parametrize(("package", "version"), PINS)
def test_every_pin_is_locked(package: str, version: str) -> None:
    everything = {version for name in LOCKS for version in locked(name).items()}
    assert (package, version) in everything


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_hashes_and_no_address(name: str) -> None:
    text = (ROOT / "scripts" / name).read_text()
    assert locked(name)
    for package in text.split("\n    # via")[:-1]:
        assert "--hash=sha256:" in package
    assert "://" not in text


def test_the_peers_get_the_torch_that_their_locks_leave_out() -> None:
    assert f'override-dependencies = ["{TORCH.partition("+")[0]}"]' in (ROOT / "pyproject.toml").read_text()
    assert not any("torch" in locked(name) for name in LOCKS)
