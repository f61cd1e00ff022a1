"""Raw requests as good clients send them, to be made worse."""

import json

from tests.faults.frontend_process import API_KEY
from tests.frontend.conftest import MODEL

CHAT = "/v1/chat/completions"
KEY_HEADER = f"Authorization: Bearer {API_KEY}"


def chat_body(**fields: object) -> bytes:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], **fields}
    return json.dumps(body).encode()


def head(start_line: str, *headers: str) -> bytes:
    lines = [start_line, "Host: localhost", KEY_HEADER, "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def chat_request(*headers: str, **fields: object) -> bytes:
    body = chat_body(**fields)
    return head(f"POST {CHAT} HTTP/1.1", f"Content-Length: {len(body)}", *headers) + body
