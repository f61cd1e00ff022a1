"""scripts/*.txt are what `make lock` makes of pyproject.toml, as far as can be told without the network."""

import re
import subprocess
import sys
from importlib import metadata
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


# What `make serve` and the commands beside it start, on what it installs.
COMMANDS = (
    *("scripts.serve", "scripts.chat", "scripts.models", "scripts.gpu_report", "scripts.perf"),
    *(
        "build.__main__",
        "build.plan.__main__",
        "frontend.__main__",
        "frontend.keys.command",
        "serving.node.triton_node",
    ),
)
WITHOUT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"{name} is for tests and tools")
ABSENT = set(sys.argv[1].split(","))
sys.meta_path.insert(0, Absent())
for name in sys.argv[2].split(","):
    __import__(name)
"""


def test_serving_needs_nothing_of_tests_and_tools() -> None:
    extras = {
        name.replace("-", "_") for name in locked("requirements.txt").keys() - locked("serving.txt").keys()
    }
    assert {"pytest", "mypy", "ruff", "openai", "anthropic", "schemathesis"} <= extras
    modules = {
        module
        for module, names in metadata.packages_distributions().items()
        if {name.lower().replace("-", "_") for name in names} <= extras
    }
    assert {"pytest", "openai", "httpx2"} <= modules
    command = [sys.executable, "-c", WITHOUT, ",".join(modules), ",".join(COMMANDS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_serving_gets_the_versions_that_are_tested() -> None:
    assert locked("serving.txt").items() <= locked("requirements.txt").items()
