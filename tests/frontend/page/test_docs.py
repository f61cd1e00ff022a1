"""/docs in a real Chromium."""

import pytest

from tests.fakes.triton_server import Script, tokens
from tests.frontend.conftest import API_KEY, Stack
from tests.frontend.page.conftest import Visit

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("chromium")]


def test_with_a_key_the_api_can_be_read_and_tried(stack: Stack, visit: Visit) -> None:
    page = visit.page(f"{stack.url}/docs")
    page.get_by_text("This server wants a key.").wait_for()
    page.get_by_label("API key").fill("wrong")
    page.keyboard.press("Enter")
    page.get_by_text("The key is wrong.").wait_for()
    page.get_by_label("API key").fill(API_KEY)
    page.keyboard.press("Enter")
    operation = page.locator("details.operation", has_text="/v1/chat/completions")
    operation.locator("summary").first.click()
    operation.get_by_text("fields").click()
    assert "number, 0 to 2 or null" in operation.inner_text()
    stack.fake.reset(Script([tokens("Par", "is.")]))
    operation.get_by_role("button", name="Send").click()
    operation.get_by_text("Paris.").wait_for()
