"""The commands of docs/gpu.md, deploy.md and tensorrt-llm.md: they are typed as they stand."""

import io
import itertools
import re
import shlex
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import yaml

from build.checkpoint.shapes import find_shape
from build.plan.__main__ import main as plan
from build.tensorrt_llm.recipe import choose_recipe
from tests.deploy.chart import CHART, KEYS, MULTI_NODE, one, render

ROOT = Path(__file__).parents[2]
PAGES = ("gpu.md", "deploy.md", "tensorrt-llm.md")
TEXTS = {page: (ROOT / "docs" / page).read_text() for page in PAGES}
COMMANDS = [
    (page, line.strip())
    for page, text in TEXTS.items()
    for line in re.findall(r"^    (\S.*)$", text, re.MULTILINE)
]
MAKEFILE = (ROOT / "Makefile").read_text()
KNOWN_PROGRAMS = {"make", "docker", "helm", "kubectl", "ssh-keygen", "hf"}


def of(program: str) -> list[list[str]]:
    return [shlex.split(line)[1:] for _, line in COMMANDS if line.startswith(f"{program} ")]


def settings(words: list[str]) -> dict[str, str]:
    return dict(word.split("=", 1) for word in words if re.match(r"[A-Z_]+=", word))


def test_every_command_is_of_a_known_program() -> None:
    assert {line.split()[0] for _, line in COMMANDS} == KNOWN_PROGRAMS


@pytest.mark.parametrize("words", of("make"), ids=" ".join)
def test_make_knows_the_target_and_its_settings(words: list[str]) -> None:
    assert re.search(rf"^{words[0]}:", MAKEFILE, re.MULTILINE)
    for name in settings(words):
        assert re.search(rf"^{name}\b ?\??=|\$\({name}\)", MAKEFILE, re.MULTILINE), name


@pytest.mark.parametrize(
    "words", [words for words in of("make") if "PRECISION" in " ".join(words)], ids=" ".join
)
def test_there_is_a_recipe_for_what_is_built(words: list[str]) -> None:
    given = settings(words)
    size = re.search(r"-(\d+)B-", given["MODEL"])
    assert size is not None
    recipe = choose_recipe(find_shape(f"{size[1]}b"), given["PRECISION"])
    assert recipe is not None
    assert recipe.world_size == {"8": 1, "70": 4, "405": 16 if given["PRECISION"] == "bf16" else 8}[size[1]]


def test_what_is_served_was_built() -> None:
    built = {settings(words)["NAME"] for words in of("make") if words[0] == "build-engines"}
    served = {settings(words)["NAME"] for words in of("make") if words[0] == "serve"}
    assert served <= built
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    assert defaults["triton"]["engine"] in built
    assert MULTI_NODE["engine"] in built


@pytest.mark.parametrize(
    ("arguments", "printed"), re.findall(r"^```\n\$ make plan (.*)\n((?:.+\n)+)```", TEXTS["gpu.md"], re.M)
)
def test_plan_prints_what_the_page_shows(arguments: str, printed: str) -> None:
    options = [part for word in arguments.split() for part in _option(word)]
    output = io.StringIO()
    with redirect_stdout(output):
        assert plan(options) == 0
    assert [line.rstrip() for line in output.getvalue().splitlines()] == printed.splitlines()


def _option(word: str) -> tuple[str, str]:
    name, value = word.split("=")
    return f"--{name.lower()}", value


@pytest.mark.slow
@pytest.mark.usefixtures("validators")
@pytest.mark.parametrize("words", of("helm"), ids=lambda words: f"{len(words)} words")
def test_helm_takes_its_values(words: list[str]) -> None:
    import helm_python

    assert words[:3] == ["install", "llama", "deploy/chart"]
    pairs = [word for before, word in itertools.pairwise(words) if before == "--set"]
    values: dict[str, Any] = helm_python.parse_set_string(",".join(pairs))
    workload = "LeaderWorkerSet" if "multiNode" in " ".join(pairs) else "StatefulSet"
    assert one(render(values), workload)["metadata"]["name"] == "demo-triton"


def test_docker_is_told_of_files_and_profiles_that_exist() -> None:
    services = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]
    profiles = {profile for service in services.values() for profile in service["profiles"]}
    for words in of("docker"):
        file = words[words.index("-f") + 1]
        assert (ROOT / file).is_file()
        if "--profile" in words:
            assert words[words.index("--profile") + 1] in profiles


def test_the_secrets_are_those_that_the_chart_mounts() -> None:
    made = {words[3]: words[4:] for words in of("kubectl") if words[:2] == ["create", "secret"]}
    assert set(made) == {KEYS["frontend"]["keysSecret"], MULTI_NODE["multiNode"]["sshSecret"]}
    assert any("id_ed25519.pub" in word for word in made["llama-ssh"])
    assert made["llama-keys"] == ["--from-file=api_keys=keys.json"]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXTS[page]):
        assert (ROOT / "docs" / target).exists(), target
