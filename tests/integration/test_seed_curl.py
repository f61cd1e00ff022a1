"""The curl lines of the Lambda Chat API's documentation, as a user types them."""

import json
import re
import shutil
import subprocess
from typing import Any

import pytest

from tests.integration.live_stack import API_KEY, LiveStack

pytestmark = [
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed"),
    pytest.mark.engines("cpu", "double"),
]


def curl(stack: LiveStack, path: str, *options: str) -> Any:
    command = ["curl", "-sS", f"{stack.url}/v1{path}", "-H", f"Authorization: Bearer {API_KEY}", *options]
    return json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def post(stack: LiveStack, path: str, body: dict[str, Any]) -> Any:
    return curl(stack, path, "-d", json.dumps(body), "-H", "Content-Type: application/json")


def test_chat(live_stack: LiveStack) -> None:
    messages = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "What is machine learning?"},
    ]
    body = post(
        live_stack, "/chat/completions", {"model": live_stack.model, "messages": messages, "max_tokens": 8}
    )
    assert list(body) == ["id", "object", "created", "model", "choices", "usage"]
    assert re.fullmatch("chat-[0-9a-f]{32}", body["id"])
    (choice,) = body["choices"]
    assert list(choice) == ["index", "message", "logprobs", "finish_reason", "stop_reason"]
    assert list(choice["message"]) == ["role", "content", "refusal", "tool_calls"]
    # prompt_tokens_details follows once the prompt is found in the KV cache.
    assert list(body["usage"])[:3] == ["prompt_tokens", "total_tokens", "completion_tokens"]


def test_completion(live_stack: LiveStack) -> None:
    request = {"model": live_stack.model, "prompt": "Computers are", "temperature": 0}
    body = post(live_stack, "/completions", request)
    assert list(body) == ["id", "object", "created", "model", "choices", "usage"]
    assert re.fullmatch("cmpl-[0-9a-f]{32}", body["id"])
    (choice,) = body["choices"]
    assert list(choice) == ["index", "text", "logprobs", "finish_reason", "stop_reason"]
    assert (choice["finish_reason"], body["usage"]["completion_tokens"]) == ("length", 16)


def test_models(live_stack: LiveStack) -> None:
    card = curl(live_stack, "/models")["data"][0]
    assert (card["id"], card["root"], card["max_model_len"]) == (live_stack.model, live_stack.model, 8192)
    assert re.fullmatch("modelperm-[0-9a-f]{32}", card["permission"][0]["id"])
