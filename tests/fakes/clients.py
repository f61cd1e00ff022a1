"""Clients of the servers that tests start: plain HTTP, so that no authorities are read, 25 ms a client."""

from typing import Any

import anthropic
import httpx2 as httpx
import openai


def http_client(url: str, api_key: str | None = None, **options: Any) -> httpx.Client:
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    return httpx.Client(base_url=url, headers=headers, verify=False, **options)


def openai_client(url: str, api_key: str, max_retries: int = 0) -> openai.OpenAI:
    transport = openai.DefaultHttpxClient(verify=False)
    return openai.OpenAI(
        base_url=f"{url}/v1", api_key=api_key, max_retries=max_retries, http_client=transport
    )


def anthropic_client(url: str, api_key: str) -> anthropic.Anthropic:
    transport = anthropic.DefaultHttpxClient(verify=False)
    return anthropic.Anthropic(base_url=url, api_key=api_key, max_retries=0, http_client=transport)
