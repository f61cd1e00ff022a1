import json
import shlex

import pytest

from scripts.serve import greeting
from serving.settings import ServeSettings

MODEL = "someone/it's-a-model"


def curl_of(text: str) -> list[str]:
    """The words of the command in the greeting, as a shell sees them."""
    return shlex.split(text[text.index("\ncurl ") :].replace("\\\n", " "))


@pytest.mark.parametrize("has_keys", [False, True])
def test_greeting_holds_url_model_and_a_command_that_a_shell_understands(has_keys: bool) -> None:
    text = greeting(ServeSettings("127.0.0.1", 9000, 9001, 9002, has_keys, shutdown_grace_s=30), MODEL)
    curl = curl_of(text)
    assert MODEL in text.partition("curl")[0]
    assert "http://127.0.0.1:9000/v1" in text.partition("curl")[0]
    assert curl[:2] == ["curl", "http://127.0.0.1:9000/v1/chat/completions"]
    assert json.loads(curl[curl.index("-d") + 1])["model"] == MODEL
    assert ("Authorization: Bearer $API_KEY" in curl) == has_keys
    assert ("none are set" in text) != has_keys
