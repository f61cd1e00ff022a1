"""README.md has the settings that operators change, docs/settings.md the others."""

import re
from pathlib import Path

from frontend.settings import NAMES
from serving.settings import OF_ENGINES, OF_SERVERS

ROOT = Path(__file__).parents[2]
README, PAGE = (
    re.findall(r"^\| `([A-Z][A-Z0-9_]+)`", (ROOT / page).read_text(), re.MULTILINE)
    for page in ("README.md", "docs/settings.md")
)
# Of the commands themselves, and of the file that holds the others.
OF_COMMANDS = {"ENGINE", "PYTHON", "SETTINGS_FILE", "VERBOSE"}


def test_every_setting_is_told_once() -> None:
    assert len(README + PAGE) == len({*README, *PAGE})


def test_the_pages_and_the_code_have_the_same_settings() -> None:
    assert {*README, *PAGE} == NAMES | OF_SERVERS | OF_ENGINES | OF_COMMANDS


def test_readme_has_25_at_most() -> None:
    assert len(README) <= 25
