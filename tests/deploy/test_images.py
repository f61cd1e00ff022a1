"""The Dockerfiles and compose.yaml, by hadolint, docker compose itself and yamllint."""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml

from build.paths import VENV
from frontend.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILES = sorted(DEPLOY.glob("*.Dockerfile"))
YAMLLINT = (
    "{extends: default, rules: "
    "{line-length: {max: 120}, document-start: disable, braces: {max-spaces-inside: 0}}}"
)


def run(command: list[str], **environment: str) -> str:
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def compose(validators: Path, profile: str) -> dict[str, Any]:
    binary = str(validators / "bin" / "docker-compose")
    config: dict[str, Any] = yaml.safe_load(
        run([binary, "-f", "deploy/compose.yaml", "--profile", profile, "config"])
    )
    return config


@pytest.mark.slow
@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_hadolint_finds_nothing(validators: Path, dockerfile: Path) -> None:
    assert not run([str(validators / "bin" / "hadolint"), str(dockerfile)])


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_images_are_pinned_and_run_as_nobody_in_particular(dockerfile: Path) -> None:
    text = dockerfile.read_text()
    for image in re.findall(r"^FROM (\S+)", text, re.MULTILINE):
        assert re.fullmatch(r"\S+:\d[\w.-]+", image), f"{image} has no version"
    (user,) = re.findall(r"^USER (\d+):\d+$", text, re.MULTILINE)[-1:]
    assert int(user) >= 1000


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_what_is_copied_is_there_and_not_ignored(dockerfile: Path) -> None:
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile.read_text(), re.MULTILINE)
    for source in " ".join(copied).split():
        assert (ROOT / source).exists()
        assert any(Path(source).match(pattern) for pattern in kept), f"{source} is kept out by .dockerignore"


STARTS = [
    ("frontend.Dockerfile", ["-c", "import frontend.__main__"]),
    ("frontend.Dockerfile", ["-m", "frontend.keys.command", "--help"]),
    ("triton.Dockerfile", ["-m", "serving.node.triton_node", "--help"]),
    ("triton.Dockerfile", ["-m", "build", "--help"]),
    ("triton.Dockerfile", ["-c", "import serving.health, scripts.setup"]),
    ("cpu.Dockerfile", ["-m", "serving.node.triton_node", "--help"]),
]


@pytest.mark.parametrize(("dockerfile", "arguments"), STARTS)
def test_an_image_holds_what_it_starts(dockerfile: str, arguments: list[str], tmp_path: Path) -> None:
    for line in re.findall(r"^COPY (?!--from)(.+)$", (DEPLOY / dockerfile).read_text(), re.MULTILINE):
        for source in line.split()[:-1]:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, tmp_path / source)
    done = subprocess.run(
        [sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_yamllint_finds_nothing(validators: Path) -> None:
    files = [DEPLOY / "compose.yaml", DEPLOY / "chart" / "values.yaml", DEPLOY / "chart" / "Chart.yaml"]
    command = [sys.executable, "-m", "yamllint", "--strict", "-d", YAMLLINT, *map(str, files)]
    assert not run(command, PYTHONPATH=str(validators))


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["gpu", "cpu"])
def test_compose_publishes_the_frontend_alone(validators: Path, profile: str) -> None:
    config = compose(validators, profile)
    services = config["services"]
    assert len(services) == 2
    assert {name for name, service in services.items() if "ports" in service} == {"frontend"}
    assert config["networks"]["private"]["internal"] is True
    for name, service in services.items():
        assert service["read_only"] is True
        assert service["healthcheck"]["test"]
        if name != "frontend":
            assert list(service["networks"]) == ["private"]


@pytest.mark.slow
def test_compose_gives_triton_the_gpus_and_the_limits_of_nvidias_own_command(validators: Path) -> None:
    triton = compose(validators, "gpu")["services"]["triton"]
    assert triton["gpus"] == [{"count": -1}]
    assert triton["ulimits"] == {"memlock": -1, "stack": 67108864}
    assert int(triton["shm_size"]) >= 2 << 30


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["gpu", "cpu"])
def test_the_frontend_knows_every_setting_it_gets(validators: Path, profile: str) -> None:
    settings = compose(validators, profile)["services"]["frontend"]["environment"]
    assert {name.lower() for name in settings} <= Settings.model_fields.keys()


def test_the_frontends_lock_has_what_it_imports() -> None:
    """Everything that `import` finds through the virtual environment alone."""
    locked = {
        name.lower().replace("_", "-")
        for name in re.findall(r"^([\w.-]+)==", (DEPLOY / "frontend.txt").read_text(), re.MULTILINE)
    }
    packages = _packages()
    for name in sorted(_imported((ROOT / "frontend").rglob("*.py")) - {"frontend"}):
        distributions = {item.lower().replace("_", "-") for item in packages[name]}
        assert name in sys.stdlib_module_names or distributions & locked, (
            f"{name} is not in deploy/frontend.in"
        )


def _packages() -> Mapping[str, set[str]]:
    """What can be imported -> distributions; on Python 3.10 importlib.metadata overlooks most of them."""
    found = defaultdict(set)
    for distribution in metadata.distributions():
        for row in (distribution.read_text("RECORD") or "").splitlines():
            found[row.partition("/")[0].partition(".")[0]].add(distribution.metadata["Name"])
    return found


@pytest.mark.parametrize("lock", ["frontend.txt", "gpu_node.txt"])
def test_a_lock_agrees_with_the_tested_one(lock: str) -> None:
    pins = re.compile(r"^([\w.-]+)==([\w.]+)", re.MULTILINE)
    tested = dict(pins.findall((ROOT / "scripts" / "requirements.txt").read_text()))
    locked = dict(pins.findall((DEPLOY / lock).read_text()))
    assert locked
    assert locked.items() <= tested.items()


# What a GPU machine starts, and the GPU image, where only deploy/gpu_node.txt is set up.
NODE_PROGRAMS = [
    "scripts.serve",
    "build.__main__",
    "build.plan.__main__",
    "serving.node.triton_node",
    "serving.health",
    "frontend.__main__",
    "build.llm_api.build",
]
OWN = {"build", "frontend", "scripts", "serving"}
IMPORTED = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(*(module.__file__ for module in list(sys.modules.values()) if getattr(module, "__file__", None)))
"""


def test_the_gpu_nodes_lock_has_what_is_imported_there_and_nothing_for_cpus_or_tests() -> None:
    lock = (DEPLOY / "gpu_node.txt").read_text()
    locked = {name.lower().replace("_", "-") for name in re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)}
    assert not locked & {"openvino", "nvidia-pytriton", "llguidance", "pytest", "ruff", "mypy"}
    loaded = map(Path, run([sys.executable, "-c", IMPORTED, *NODE_PROGRAMS], PYTHONPATH=str(ROOT)).split())
    own = {path for path in loaded if path.is_relative_to(ROOT)} - {*ROOT.glob("scripts/replay/*.py")}
    own = {path for path in own if VENV not in path.parents}
    assert len(own) > 100
    packages = _packages()
    for name in sorted(_imported(own) - sys.stdlib_module_names - OWN - {path.stem for path in own}):
        distributions = {item.lower().replace("_", "-") for item in packages[name]}
        assert distributions & locked, f"{name} is not in deploy/gpu_node.in"


def _imported(paths: Iterable[Path]) -> set[str]:
    names: set[str] = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.split(".")[0])
    return names
