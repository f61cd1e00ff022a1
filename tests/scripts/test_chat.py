import io
import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from build.paths import ROOT
from scripts.chat import Chat
from scripts.chat_client import Client
from tests.fakes.triton_server import Script, tokens
from tests.frontend.conftest import API_KEY, MODEL, Stack

HELLO = Script([tokens("Hel"), tokens("lo.")])
ENDS_S = 20
INTERRUPT, END = "\x03", "\x04"


def typed(*lines: str | type[BaseException]) -> Callable[[str], str]:
    """What the user types, or the keys that interrupt; then the end."""
    rest = iter(lines)

    def read(_: str) -> str:
        line = next(rest, EOFError)
        if isinstance(line, str):
            return line
        raise line

    return read


def chatted(stack: Stack, *lines: str | type[BaseException], script: Script = HELLO) -> str:
    stack.fake.reset(script)
    screen = io.StringIO()
    Chat(Client(stack.url, API_KEY), MODEL, typed(*lines), screen).run()
    return screen.getvalue()


def asked(stack: Stack, number: int = -1) -> Any:
    (messages,) = stack.fake.inputs(number)["messages"]
    return json.loads(messages)


def test_a_chat_remembers(stack: Stack) -> None:
    assert chatted(stack, "hi", "", "and?").splitlines() == ["Hello.", "Hello.", ""]
    assert [message["content"] for message in asked(stack)] == ["hi", "Hello.", "and?"]


def test_a_message_of_several_lines(stack: Stack) -> None:
    chatted(stack, '"""', "def f():", "    pass", '"""', '"""one line"""')
    assert [message["content"] for message in asked(stack)][::2] == ["def f():\n    pass", "one line"]


def test_system_prompt_and_parameters(stack: Stack) -> None:
    said = chatted(
        stack, "/system Be brief.", "/params max_tokens=7 temperature=0.5 seed=", "/params temperature=", "hi"
    )
    assert asked(stack)[0] == {"role": "system", "content": "Be brief."}
    assert stack.fake.inputs()["max_tokens"] == [7]
    assert said.splitlines()[:2] == ['{"max_tokens": 7, "temperature": 0.5}', '{"max_tokens": 7}']


def test_clear_begins_a_new_chat(stack: Stack) -> None:
    chatted(stack, "hi", "/clear", "new")
    assert asked(stack) == [{"role": "user", "content": "new"}]


def test_save_writes_the_chat(stack: Stack, tmp_path: Path) -> None:
    said = chatted(
        stack, "/params n=1", "hi", f"/save {tmp_path}/chat.json", f"/save {tmp_path}/no/chat.json", "/save"
    )
    saved = json.loads((tmp_path / "chat.json").read_text())
    assert saved["messages"] == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "Hello."},
    ]
    assert (saved["model"], saved["params"]) == (MODEL, {"n": 1})
    assert "no/chat.json can't be written: No such file" in said
    assert "needs the name of a file" in said


@pytest.mark.parametrize(
    ("line", "told"), [("/sing", "no /sing"), ("/help", "/system TEXT"), ("/params x", "name=value")]
)
def test_commands_are_told(stack: Stack, line: str, told: str) -> None:
    assert told in chatted(stack, line)


def test_what_is_refused_is_told_and_forgotten(stack: Stack) -> None:
    said = chatted(stack, "/params temperature=9", "bad", "/params temperature=", "good")
    assert "error: 400" in said
    assert asked(stack) == [{"role": "user", "content": "good"}]


def test_ctrl_c_at_the_prompt_drops_the_line(stack: Stack) -> None:
    assert chatted(stack, KeyboardInterrupt, "hi").splitlines() == ["", "Hello.", ""]


def test_what_commands_a_terminal_is_shown_and_does_nothing(stack: Stack) -> None:
    script = Script([tokens("\x1b]0;owned\x07", "\x1b[2J", "ä\tok")])
    assert chatted(stack, "hi", script=script).splitlines()[0] == "\\x1b]0;owned\\x07\\x1b[2Jä\tok"


class Terminal:
    """A chat as a user has it: in a terminal of its own, under make."""

    def __init__(self, url: str, folder: Path) -> None:
        self.said = ""
        (folder / "Makefile").write_text(f"chat:\n\t@exec {sys.executable} -m scripts.chat\n")
        self._end, theirs = pty.openpty()
        # setsid, for the terminal to be its own: Ctrl-C goes to whom the terminal belongs.
        self.process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", "make", "-s", "-f", str(folder / "Makefile"), "chat"],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=ROOT,
            env={**os.environ, "BASE_URL": url, "API_KEY": API_KEY, "MODEL": ""},
        )
        os.close(theirs)

    def type(self, keys: str) -> None:
        os.write(self._end, keys.encode())

    def wait_for(self, text: str) -> None:
        end = time.monotonic() + ENDS_S
        while text not in self.said:
            assert time.monotonic() < end, self.said
            if select.select([self._end], [], [], 0.1)[0]:
                self.said += os.read(self._end, 4096).decode(errors="replace")
        self.said = self.said.partition(text)[2]

    def close(self) -> None:
        os.close(self._end)
        self.process.kill()
        self.process.wait()


@pytest.fixture
def terminal(stack: Stack, tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(stack.url, tmp_path)
    yield terminal
    terminal.close()


def test_ctrl_c_stops_the_answer_and_not_the_chat(stack: Stack, terminal: Terminal) -> None:
    terminal.wait_for("> ")
    for _ in range(3):
        stack.fake.reset(Script([tokens("begun")], hangs_after=1))
        terminal.type("hi\r")
        terminal.wait_for("begun")
        terminal.type(INTERRUPT)
        terminal.wait_for("(stopped)")
        terminal.wait_for("> ")
    stack.fake.reset(HELLO)
    terminal.type("and now\r")
    terminal.wait_for("Hello.")
    terminal.wait_for("> ")
    terminal.type(END)
    assert terminal.process.wait(ENDS_S) == 0
    assert [message["role"] for message in asked(stack)] == ["user", "assistant"] * 3 + ["user"]


def test_lines_may_come_from_a_pipe(stack: Stack) -> None:
    stack.fake.reset(HELLO)
    command = [sys.executable, "-m", "scripts.chat"]
    variables = {**os.environ, "BASE_URL": stack.url, "API_KEY": API_KEY, "MODEL": ""}
    done = subprocess.run(command, input="hi\n", capture_output=True, text=True, cwd=ROOT, env=variables)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Hello.\n\n", "")
