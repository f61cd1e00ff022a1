"""docs/clients.md: each snippet is run as it stands there, but for the address."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from build.paths import ROOT
from tests.clients.conftest import environment
from tests.fakes.triton_server import Script, tokens
from tests.frontend.conftest import Stack, serving

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("clients")]

SNIPPETS = dict(
    re.findall(
        r"^### (.+?)\n(?:(?!^#).)*?```((?:sh|python|javascript)\n.*?)```",
        (ROOT / "docs" / "clients.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )
)
# Heading -> the lock with its package; None: the machine's own program.
PYTHON = {
    "openai, Python": "sdks",
    "anthropic, Python": "sdks",
    "LangChain": "sdks",
    "LiteLLM": "sdks",
    "OpenAI's Agents SDK": "sdks",
    "LlamaIndex": "llama-index",
}
JAVASCRIPT = ("openai, JavaScript", "anthropic, JavaScript", "Vercel's AI SDK")
PROGRAMS = ("Codex", "Claude Code", "Continue")
ADDRESS = "http://127.0.0.1:8000"
ANSWER = "The capital of France is Paris."
# A program of 300 MB on a busy machine.
TIMEOUT_S = 240


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Without keys; what it answers is no matter of a small model's."""
    with serving(api_keys=()) as stack:
        stack.fake.reset(Script([tokens(*re.findall(r"\S+\s*", ANSWER))]))
        yield stack


def said(command: list[str], folder: Path, path: Path, **variables: str) -> str:
    """Everything that it wrote; with a home of its own, and no way to other hosts but those it insists on."""
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    environment |= {"HOME": str(folder), "PATH": f"{path}:{os.environ['PATH']}", "CI": "1", **variables}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def written(name: str, stack: Stack, file: Path) -> str:
    """The file that the snippet was written to."""
    code = SNIPPETS[name].partition("\n")[2]
    assert ADDRESS in code
    file.write_text(code.replace(ADDRESS, stack.url))
    return str(file)


def test_every_snippet_is_run() -> None:
    assert SNIPPETS.keys() == {*PYTHON, *JAVASCRIPT, *PROGRAMS, "curl", "aider"}


@pytest.mark.parametrize("name", PYTHON)
def test_python(name: str, stack: Stack, tmp_path: Path) -> None:
    path = environment(PYTHON[name])
    variables = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "OPENAI_AGENTS_DISABLE_TRACING": "1"}
    file = written(name, stack, tmp_path / "snippet.py")
    assert ANSWER in said([str(path / "python"), file], tmp_path, path, **variables)


@pytest.mark.parametrize("name", JAVASCRIPT)
def test_javascript(name: str, stack: Stack, tmp_path: Path, node: Path, node_modules: Path) -> None:
    (tmp_path / "node_modules").symlink_to(node_modules)
    file = written(name, stack, tmp_path / "snippet.mjs")
    assert ANSWER in said([str(node / "node"), file], tmp_path, node)


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name: str, stack: Stack, tmp_path: Path, node: Path, node_modules: Path) -> None:
    path = Path(f"{node_modules / '.bin'}:{node}")
    file = written(name, stack, tmp_path / "snippet.sh")
    assert ANSWER in said(["sh", file], tmp_path, path)


def test_aider(stack: Stack, tmp_path: Path) -> None:
    file = written("aider", stack, tmp_path / "snippet.sh")
    assert ANSWER in said(["sh", file], tmp_path, environment("aider"), AIDER_ANALYTICS="false")


def test_curl(stack: Stack, tmp_path: Path) -> None:
    assert ANSWER in said(["sh", written("curl", stack, tmp_path / "snippet.sh")], tmp_path, tmp_path)
