"""The chat and the state of the server, in a real Chromium."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.triton_server import Script, tokens
from tests.frontend.conftest import API_KEY, MODEL, Stack, serving
from tests.frontend.page.conftest import Visit

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("chromium")]

SHORT = Script([tokens("Hel"), tokens("lo.")])
PHONE = {"width": 390, "height": 800}
# What a model may have read somewhere, and what would run if any of it were taken for HTML.
ATTACKS = (
    "<script>window.ran = 1</script>",
    '<img src="x" onerror="window.ran = 1"><svg onload="window.ran = 1"></svg>',
    '<iframe srcdoc="<script>parent.ran = 1</script>"></iframe>',
    "[press](javascript:window.ran=1) [and](data:text/html,<script>1</script>)",
    "![picture](http://elsewhere.test/x.png)",
    '```html\n<script>window.ran = 1</script>\n```\n> <b onclick="window.ran=1">x</b>',
    "| <script>window.ran = 1</script> | b |\n|---|---|\n| <img src=x onerror=alert(1)> | d |",
    "**<style>* { display: none }</style>**\n\n- <a href='javascript:1'>a</a>",
)

# Texts out of markdown's own characters, and how long each takes.
UNITS = (
    "`",
    "*",
    "*a ",
    "**a ",
    "`a ``b ",
    "[",
    "[a](",
    "|",
    "|-|\n",
    "> ",
    ">\n",
    "- ",
    "- a\n",
    " - a\n",
    "# a\n",
)
PIECES = (
    "#",
    " ",
    "\n",
    "> ",
    "- ",
    "1. ",
    "*",
    "**",
    "`",
    "```",
    "~~~",
    "|",
    "---",
    "[",
    "](",
    ")",
    "a",
    "  ",
    "<b>",
)
SLOW_MS = 1_000
RENDERED = """(texts) => texts.map((text) => {
    const start = performance.now();
    markdown(text);
    return performance.now() - start;
})"""
SHOWN = "(text) => markdown(text).textContent"


@pytest.fixture(scope="module")
def open_stack() -> Iterator[Stack]:
    """Without keys."""
    with serving(api_keys=()) as stack:
        yield stack


def ask(page: Any, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Send", exact=True).and_(page.locator("#send:enabled")).wait_for()


def chat(stack: Stack, visit: Visit, script: Script = SHORT, text: str = "hi", **options: Any) -> Any:
    stack.fake.reset(script)
    page = visit.page(stack.url, **options)
    page.get_by_role("heading", name=MODEL).wait_for()
    ask(page, text)
    return page


def said(page: Any, text: str) -> Any:
    return page.locator("article.assistant").get_by_text(text)


def asked(stack: Stack, number: int = -1) -> list[dict[str, Any]]:
    """The messages of a generation that Triton got."""
    (messages,) = stack.fake.inputs(number)["messages"]
    return json.loads(messages)


def test_an_answer_streams_and_tells_what_it_took(open_stack: Stack, visit: Visit) -> None:
    page = chat(open_stack, visit, Script([tokens("1. *one*\n", "2. `two`")], num_reused_blocks=0))
    answer = page.locator("article.assistant")
    assert answer.locator("ol > li").all_inner_texts() == ["one", "two"]
    assert answer.locator("em").inner_text() == "one"
    assert answer.locator("code").inner_text() == "two"
    note = answer.inner_text()
    assert "first token after" in note
    assert "5 tokens in (0 cached), 3 out" in note
    assert page.locator("#context-text").inner_text().startswith("8 of ")


def test_the_stop_button_stops_the_generation_and_keeps_what_came(open_stack: Stack, visit: Visit) -> None:
    open_stack.fake.reset(Script([tokens("begun")], hangs_after=1))
    page = visit.page(open_stack.url)
    page.get_by_label("Message", exact=True).fill("hi")
    page.keyboard.press("Enter")
    page.get_by_text("begun").wait_for()
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_text("stopped").wait_for()
    assert "begun" in page.locator("article.assistant").inner_text()
    page.wait_for_timeout(500)
    assert open_stack.fake.requests[0].id in open_stack.fake.stopped_ids
    open_stack.fake.reset(SHORT)
    ask(page, "and now")
    assert page.locator("article.assistant").last.inner_text().count("Hello.") == 1
    assert [message["role"] for message in asked(open_stack)] == ["user", "assistant", "user"]


def test_escape_stops_too(open_stack: Stack, visit: Visit) -> None:
    open_stack.fake.reset(Script([tokens("begun")], hangs_after=1))
    page = visit.page(open_stack.url)
    page.get_by_label("Message", exact=True).fill("hi")
    page.keyboard.press("Enter")
    page.get_by_text("begun").wait_for()
    page.keyboard.press("Escape")
    page.get_by_text("stopped").wait_for()


@pytest.mark.parametrize("fails_after", [0, 1])
def test_a_request_that_fails_says_so_and_can_be_tried_again(
    open_stack: Stack, visit: Visit, fails_after: int
) -> None:
    page = chat(open_stack, visit, Script([tokens("half"), tokens("b")], fails_after=fails_after))
    assert page.locator("article [role=alert]").inner_text()
    open_stack.fake.reset(SHORT)
    page.get_by_role("button", name="Try again").click()
    said(page, "Hello.").wait_for()
    assert page.locator("[role=alert]:not(:empty)").count() == 0
    assert [message["role"] for message in asked(open_stack)] == ["user"]


def test_a_parameter_that_is_refused_is_told(open_stack: Stack, visit: Visit) -> None:
    page = visit.page(open_stack.url)
    page.get_by_label("temperature").fill("9")
    ask(page, "hi")
    assert "400" in page.locator("article [role=alert]").inner_text()
    page.get_by_label("temperature").fill("")
    page.get_by_label("Tools, as JSON").fill("{not json")
    ask(page, "hi")
    assert "Tools: " in page.locator("article [role=alert]").inner_text()


def test_with_keys_the_page_asks_for_one_and_keeps_it_in_the_tab(stack: Stack, visit: Visit) -> None:
    page = visit.page(stack.url)
    page.get_by_text("This server wants a key.").wait_for()
    field = page.get_by_label("API key", exact=False).and_(page.locator("#key"))
    field.fill("wrong")
    page.keyboard.press("Enter")
    page.get_by_text("Incorrect API key provided.").wait_for()
    field.fill(API_KEY)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name=MODEL).wait_for()
    assert not field.is_visible()
    stack.fake.reset(SHORT)
    ask(page, "hi")
    said(page, "Hello.").wait_for()
    page.reload()
    page.get_by_role("heading", name=MODEL).wait_for()
    assert API_KEY not in page.evaluate("JSON.stringify(localStorage) + document.cookie + location.href")
    visit.page(stack.url).get_by_text("This server wants a key.").wait_for()


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_in_an_answer_runs_or_asks_another_host(open_stack: Stack, visit: Visit, attack: str) -> None:
    page = chat(open_stack, visit, Script([tokens(*attack)]), text=attack)
    page.wait_for_timeout(200)
    assert page.evaluate("window.ran") is None
    assert page.locator("#log :is(script, img, svg, iframe, style, b)").count() == 0
    assert page.locator("#log a:not([href^=http])").count() == 0
    assert page.locator("article.user .text").inner_text() == attack


def test_no_text_holds_the_page_up_or_loses_a_word(open_stack: Stack, visit: Visit) -> None:
    page = visit.page(open_stack.url)
    took_ms = page.evaluate(RENDERED, [unit * (20_000 // len(unit)) for unit in UNITS])
    assert {unit: ms for unit, ms in zip(UNITS, took_ms, strict=True) if ms > SLOW_MS} == {}
    chance = random.Random(7)
    texts = ["".join(chance.choices(PIECES, k=chance.randint(1, 30))) for _ in range(20_000)]
    assert max(page.evaluate(RENDERED, texts)) < SLOW_MS
    assert page.evaluate(SHOWN, "  # one\n> > two\n\n- three\n  - four `five`") == "onetwothreefour five"


def test_the_policy_holds_back_what_would_get_past_the_page(open_stack: Stack, visit: Visit) -> None:
    page = visit.page(open_stack.url)
    write = "try { document.body.innerHTML = '<img src=x onerror=window.ran=1>' } catch (e) { e.name }"
    assert page.evaluate(write) == "TypeError"
    page.evaluate("document.body.append(Object.assign(document.createElement('p'), {id: 'later'}))")
    assert page.evaluate("fetch('http://elsewhere.test').catch((error) => error.name)") == "TypeError"
    assert page.evaluate("window.ran") is None
    # Each is a complaint of the policy's, as they should be here.
    assert all("Content Security Policy" in one or "TrustedHTML" in one for one in visit.complaints)
    visit.complaints.clear()


def test_a_message_is_edited_and_an_answer_made_anew(open_stack: Stack, visit: Visit) -> None:
    page = chat(open_stack, visit, text="first")
    page.get_by_role("button", name="Regenerate").click()
    said(page, "Hello.").wait_for()
    page.get_by_role("button", name="Edit").click()
    page.locator("article textarea").fill("second")
    page.keyboard.press("Enter")
    page.locator("article.user").get_by_text("second").wait_for()
    said(page, "Hello.").wait_for()
    assert [asked(open_stack, number) for number in range(3)] == [
        [{"role": "user", "content": text}] for text in ("first", "first", "second")
    ]
    assert page.locator("article").count() == 2


def test_settings_are_asked_for(open_stack: Stack, visit: Visit) -> None:
    open_stack.fake.reset(Script([tokens('{"name": "Ann", "age": 3}')]))
    page = visit.page(open_stack.url)
    page.get_by_label("System prompt").fill("Be brief.")
    page.get_by_label("max_tokens").fill("7")
    page.get_by_role("button", name="Example of a schema").click()
    ask(page, "hi")
    assert asked(open_stack)[0] == {"role": "system", "content": "Be brief."}
    inputs = open_stack.fake.inputs(-1)
    assert inputs["max_tokens"] == [7]
    assert "age" in str(inputs["guided_decoding_guide"])


def test_a_tool_is_called_and_its_result_given(open_stack: Stack, visit: Visit) -> None:
    call = '{"name": "get_weather", "parameters": {"city": "Paris"}}'
    open_stack.fake.reset(Script([tokens(call)]))
    page = visit.page(open_stack.url)
    page.get_by_role("button", name="Example of tools").click()
    ask(page, "weather?")
    assert 'get_weather({"city": "Paris"})' in page.locator("article pre").inner_text()
    open_stack.fake.reset(SHORT)
    page.get_by_role("button", name="Give the result").click()
    page.get_by_label("Result of get_weather").fill("18 degrees")
    page.locator("article form button").click()
    said(page, "Hello.").wait_for()
    roles = [message["role"] for message in asked(open_stack)]
    assert roles == ["user", "assistant", "tool"]


def test_log_probs_are_told_by_mouse_and_by_keyboard(open_stack: Stack, visit: Visit) -> None:
    open_stack.fake.reset(SHORT)
    page = visit.page(open_stack.url)
    page.get_by_label("Show the log-probs of tokens").check()
    ask(page, "hi")
    told = page.locator(".tokens + p")
    page.locator(".tokens span").first.hover()
    assert '"Hel"' in told.inner_text()
    page.locator(".tokens span").first.focus()
    page.keyboard.press("ArrowRight")
    assert '"lo."' in told.inner_text()
    assert "likeliest" in told.inner_text()


def test_the_request_as_code_runs(open_stack: Stack, visit: Visit, tmp_path: Path) -> None:
    open_stack.fake.reset(Script([tokens("it's ", "fine")]))
    page = visit.page(open_stack.url)
    page.get_by_label("top_k").fill("5")
    page.get_by_label("Message", exact=True).fill("it's 'quoted' \"twice\"\n$HOME `id` \\n")
    page.get_by_role("button", name="As code").click()
    for language, command in (("curl", ["sh"]), ("Python", [sys.executable])):
        page.get_by_role("button", name=language, exact=True).click()
        code = tmp_path / language
        code.write_text(page.locator("#code-text").inner_text())
        done = subprocess.run([*command, str(code)], capture_output=True, text=True, env=os.environ)
        assert "fine" in done.stdout, done.stderr
        assert asked(open_stack)[0]["content"] == "it's 'quoted' \"twice\"\n$HOME `id` \\n"
        assert open_stack.fake.inputs(-1)["top_k"] == [5]
    page.get_by_role("button", name="JavaScript", exact=True).click()
    assert "new OpenAI" in page.locator("#code-text").inner_text()


def test_status_shows_what_metrics_say(open_stack: Stack, visit: Visit) -> None:
    page = chat(open_stack, visit)
    page.get_by_role("link", name="Status").click()
    page.get_by_text("works", exact=True).wait_for()
    assert page.url == f"{open_stack.url}/status"
    assert MODEL in page.locator("#facts").inner_text()
    first_token = page.locator("figure", has_text="Time to the first token")
    assert page.locator("figure").count() == 6
    assert "at most" in page.locator("figure", has_text="Requests running").inner_text()
    assert first_token.locator("svg").count() == 1
    page.go_back()
    assert said(page, "Hello.").is_visible()
    page.goto(f"{open_stack.url}/status")
    page.get_by_text("works", exact=True).wait_for()


def test_a_server_without_a_model_is_told_and_asked_again(visit: Visit) -> None:
    with serving(api_keys=()) as stack:
        stack.fake.is_ready = False
        page = visit.page(f"{stack.url}/status")
        page.get_by_text("does not work", exact=True).wait_for()
        assert "No model: 503" in page.locator("header").inner_text()
        stack.fake.is_ready = True
        page.get_by_role("heading", name=MODEL).wait_for()
        page.get_by_text("works", exact=True).wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_either_theme(open_stack: Stack, visit: Visit, scheme: str) -> None:
    wide = "x" * 200 + "\n\n| a | b |\n|---|---|\n| " + "y" * 200 + " | d |\n\n```\n" + "z" * 200 + "\n```"
    page = chat(open_stack, visit, Script([tokens(wide)]), viewport=PHONE, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert not page.get_by_label("System prompt").is_visible()
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(13, 17, 23)")


def test_everything_has_a_name_and_the_keyboard_gets_there(open_stack: Stack, visit: Visit) -> None:
    page = chat(open_stack, visit)
    nameless = """[...document.querySelectorAll('button, input, textarea, meter, a')].filter((one) =>
        !(one.innerText || one.ariaLabel || one.labels?.length)).map((one) => one.outerHTML)"""
    assert page.evaluate(nameless) == []
    page.locator("body").press("Tab")
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.innerText"))
    assert {"prompt", "send", "system", "temperature", "theme", "Regenerate", "Edit", "Status"} <= reached
    assert page.locator("#spoken").inner_text() == "Hello."
