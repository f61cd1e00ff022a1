"""OpenAI's chat API, as far as `make chat` needs it."""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

TIMEOUT_S = 600
DATA = b"data: "
DONE = b"data: [DONE]"


class RequestFailed(Exception):
    """What the server said, or why it can't be reached."""


class Client:
    def __init__(self, url: str, key: str) -> None:
        """url: with the API's /v1, or without it."""
        self._url = url.rstrip("/") if url.rstrip("/").endswith("/v1") else f"{url.rstrip('/')}/v1"
        self._headers = {"Content-Type": "application/json"} | (
            {"Authorization": f"Bearer {key}"} if key else {}
        )

    def first_model(self) -> str:
        with self._open("/models") as answer:
            return str(json.loads(answer.read())["data"][0]["id"])

    def stream(self, body: Mapping[str, Any]) -> Iterator[str]:
        """The text of an answer as it comes; who stops reading stops the generation."""
        with self._open("/chat/completions", json.dumps({**body, "stream": True}).encode()) as answer:
            for line in _lines(answer):
                if line.startswith(DATA) and line != DONE:
                    yield from _texts(json.loads(line.removeprefix(DATA)))

    def _open(self, path: str, body: bytes | None = None) -> http.client.HTTPResponse:
        try:
            # The user's own address.
            request = urllib.request.Request(self._url + path, body, self._headers)  # noqa: S310
            answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT_S)  # noqa: S310
        except urllib.error.HTTPError as error:
            raise RequestFailed(_reason(error)) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise RequestFailed(
                f"no server answers ({reason}); start one with `make serve`, or name another by BASE_URL="
            ) from error
        return answer


def _lines(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        for line in answer:
            yield line.rstrip()
    except (OSError, http.client.HTTPException) as error:
        raise RequestFailed(f"the connection broke: {error}") from error


def _texts(event: Mapping[str, Any]) -> Iterator[str]:
    if "error" in event:
        raise RequestFailed(event["error"]["message"])
    for choice in event["choices"]:
        if text := choice["delta"].get("content"):
            yield text
        for call in choice["delta"].get("tool_calls") or ():
            yield "".join(filter(None, (call["function"].get("name"), call["function"].get("arguments"))))


def _reason(error: urllib.error.HTTPError) -> str:
    body = error.read().decode(errors="replace")
    try:
        message = json.loads(body)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = body[:200]
    hint = "; give it by API_KEY in the environment" if error.code == http.HTTPStatus.UNAUTHORIZED else ""
    return f"{error.code}: {message}{hint}"
