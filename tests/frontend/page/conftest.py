"""A real Chromium: the machine's own, or that of its distribution, unpacked into .cache."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from build import debian_packages
from build.errors import Failure
from build.locked_wheels import fetched, put_in_place
from build.paths import CACHE, ROOT

NAMES = ("chromium", "google-chrome", "chromium-browser")
PACKAGES = ("chromium", "fonts-dejavu-core")
LIBRARIES = ("usr/lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu/pulseaudio")
TIMEOUT_MS = 20_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Not for longer than its tests: in its thread no other event loop can run meanwhile."""
    sys.path.append(str(fetched("playwright", ROOT / "scripts" / "playwright.txt")))
    from playwright.sync_api import sync_playwright

    program, variables = chromium()
    with sync_playwright() as playwright:
        # Its sandbox wants rights that a container does not give.
        launched = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox"], env={**os.environ, **variables}
        )
        yield launched
        launched.close()


def chromium() -> tuple[str, dict[str, str]]:
    """The program, and what it needs in its environment; skips by name where there is none."""
    own = next(filter(None, map(shutil.which, NAMES)), None)
    if own is not None:
        return own, {}
    folder = CACHE / "chromium"
    if not folder.exists():
        with tempfile.TemporaryDirectory(prefix="chromium.", dir=CACHE) as scratch:
            try:
                debian_packages.unpack(PACKAGES, Path(scratch) / "whole", has_dependencies=True)
            except Failure as failure:
                pytest.skip(f"Chromium can't be had: {failure}")
            put_in_place(Path(scratch) / "whole", folder)
    libraries = os.pathsep.join(str(folder / library) for library in LIBRARIES)
    return str(folder / "usr/lib/chromium/chromium"), {"LD_LIBRARY_PATH": libraries}


class Visit:
    """Pages of one test, and all that must not have happened by its end."""

    def __init__(self, browser: Any) -> None:
        self._browser = browser
        self._contexts: list[Any] = []
        self.complaints: list[str] = []

    def page(self, url: str, **options: Any) -> Any:
        """In a tab of its own, that knows nothing of the others."""
        context = self._browser.new_context(**options)
        self._contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        # A refused request is told there too, and is what some tests are about.
        page.on("console", lambda message: self._hear(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))
        host = url.split("/")[2]
        page.on("request", lambda request: self._see(request.url, host))
        page.goto(url)
        return page

    def close(self) -> None:
        for context in self._contexts:
            context.close()

    def _hear(self, kind: str, text: str) -> None:
        if kind == "error" and "Failed to load resource" not in text:
            self.complaints.append(text)

    def _see(self, url: str, host: str) -> None:
        if not url.startswith((f"http://{host}/", "data:")):
            self.complaints.append(f"request to {url}")


@pytest.fixture
def visit(browser: Any) -> Iterator[Visit]:
    """A test fails when a page had an error, opened a dialog or asked another host."""
    visit = Visit(browser)
    yield visit
    visit.close()
    assert visit.complaints == []
