"""`make chat`: a chat in the terminal, with the server here or any other of OpenAI's API (BASE_URL)."""

import json
import os
import readline
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from build.errors import Failure, run
from build.paths import CACHE
from scripts.chat_client import Client, RequestFailed
from serving import settings as serve_settings

HISTORY = CACHE / "chat_history"
PROMPT, FURTHER = "> ", ". "
FENCE = '"""'
HELP = f"""Enter sends. {FENCE} begins and ends a message of several lines.
Ctrl-C stops an answer, Ctrl-D ends the chat.
/system TEXT     sets the system prompt; without a text it goes
/params a=1 b=2  sets parameters, such as temperature=0 max_tokens=200; a= takes one back; alone it lists them
/save FILE       writes the chat as JSON
/clear           begins a new chat
/help            shows this"""


class Chat:
    """What was said so far, and the commands."""

    def __init__(self, client: Client, model: str, read: Callable[[str], str], screen: TextIO) -> None:
        self._client = client
        self._model = model
        self._read = read
        self._screen = screen
        self._system = ""
        self._params: dict[str, Any] = {}
        self._turns: list[dict[str, str]] = []

    def run(self) -> None:
        """Until the input ends."""
        while True:
            try:
                text = self._message()
            except KeyboardInterrupt:
                self._say("")
                continue
            except EOFError:
                self._say("")
                return
            if text.startswith("/"):
                self._obey(text)
            elif text.strip():
                self._ask(text)

    def _message(self) -> str:
        line = self._read(PROMPT)
        if not line.startswith(FENCE):
            return line
        lines = [line.removeprefix(FENCE)]
        while not lines[-1].endswith(FENCE):
            lines.append(self._read(FURTHER))
        return "\n".join(lines).removesuffix(FENCE).strip("\n")

    def _obey(self, line: str) -> None:
        command, _, rest = line.partition(" ")
        commands: dict[str, Callable[[str], None]] = {
            "/system": self._set_system,
            "/params": self._set_params,
            "/save": self._save,
            "/clear": lambda _: self._turns.clear(),
            "/help": lambda _: self._say(HELP),
        }
        if command in commands:
            commands[command](rest.strip())
        else:
            self._say(f"there is no {command}; /help lists what there is")

    def _set_system(self, text: str) -> None:
        self._system = text

    def _set_params(self, text: str) -> None:
        for pair in text.split():
            name, equals, value = pair.partition("=")
            if not equals:
                self._say(f"{pair} is not of the form name=value")
            elif value:
                self._params[name] = _value(value)
            else:
                self._params.pop(name, None)
        self._say(json.dumps(self._params))

    def _save(self, name: str) -> None:
        if not name:
            self._say("/save needs the name of a file")
            return
        chat = {"model": self._model, "params": self._params, "messages": self._messages()}
        try:
            Path(name).expanduser().write_text(json.dumps(chat, indent=2, ensure_ascii=False) + "\n")
        except OSError as error:
            self._say(f"{name} can't be written: {error.strerror}")
        else:
            self._say(f"{name} has {len(chat['messages'])} messages")

    def _messages(self) -> list[dict[str, str]]:
        system = [{"role": "system", "content": self._system}] if self._system else []
        return [*system, *self._turns]

    def _ask(self, text: str) -> None:
        self._turns.append({"role": "user", "content": text})
        body = {"model": self._model, "messages": self._messages(), **self._params}
        answer = ""
        start = first = time.monotonic()
        num_parts = 0
        try:
            for part in self._client.stream(body):
                first = first if num_parts else time.monotonic()
                num_parts += 1
                answer += part
                self._write(part)
        except KeyboardInterrupt:
            self._say("\n(stopped)")
        except RequestFailed as failure:
            # As if it had not been asked: the next question stands in its place.
            self._say(f"\nerror: {failure}" if answer else f"error: {failure}")
            answer = ""
        else:
            self._say("")
            self._tell(num_parts, first - start, time.monotonic() - first)
        if answer:
            self._turns.append({"role": "assistant", "content": answer})
        else:
            self._turns.pop()

    def _tell(self, num_parts: int, first_s: float, rest_s: float) -> None:
        if self._screen.isatty():
            rate = f", {(num_parts - 1) / rest_s:.0f} pieces/s" if num_parts > 1 and rest_s > 0 else ""
            self._say(f"\x1b[2m({num_parts} pieces, the first after {first_s:.2f} s{rate})\x1b[0m")

    def _write(self, text: str) -> None:
        """A model's text may hold what commands a terminal: it is shown and does nothing."""
        safe = "".join(
            char if char.isprintable() or char in "\n\t" else f"\\x{ord(char):02x}" for char in text
        )
        self._screen.write(safe)
        self._screen.flush()

    def _say(self, text: str) -> None:
        self._screen.write(f"{text}\n")
        self._screen.flush()


def main() -> int:
    """Chats until the input ends."""
    serve_settings.complete(os.environ)
    port = os.environ.get("PORT") or "8000"
    url = os.environ.get("BASE_URL") or f"http://{serve_settings.LOOPBACK}:{port}/v1"
    client = Client(url, os.environ.get("API_KEY", ""))
    try:
        model = os.environ.get("MODEL") or client.first_model()
    except RequestFailed as failure:
        raise Failure(f"{url}: {failure}") from failure
    with _alone_in_the_terminal(), _kept_history():
        if sys.stdin.isatty():
            print(f"{model} at {url}; /help tells what there is", flush=True)
        Chat(client, model, _read, sys.stdout).run()
    return 0


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _read(prompt: str) -> str:
    return input(prompt if sys.stdin.isatty() else "")


@contextmanager
def _kept_history() -> Iterator[None]:
    """Lines of earlier chats come by the arrow keys."""
    with suppress(OSError):
        readline.read_history_file(HISTORY)
    yield
    with suppress(OSError):
        HISTORY.parent.mkdir(exist_ok=True)
        readline.set_history_length(1000)
        readline.write_history_file(HISTORY)


@contextmanager
def _alone_in_the_terminal() -> Iterator[None]:
    """Ctrl-C is for the chat and not for make, which would end at the second one."""
    if not (sys.stdin.isatty() and os.getpgrp() == os.tcgetpgrp(sys.stdin.fileno())):
        yield
        return
    of_make = os.getpgrp()
    # To give the terminal back from the background.
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    signal.signal(signal.SIGTSTP, signal.SIG_IGN)
    if of_make != os.getpid():
        os.setpgid(0, 0)
    os.tcsetpgrp(sys.stdin.fileno(), os.getpgrp())
    try:
        yield
    finally:
        os.tcsetpgrp(sys.stdin.fileno(), of_make)


if __name__ == "__main__":
    run(main)
