"""A token with its log-prob and alternatives, as chats and the Responses API tell it."""

from typing import Any

from frontend.generation.delta import Token, TopToken


def token_logprob(token: Token) -> dict[str, Any]:
    return _spelled(token) | {"top_logprobs": [_spelled(top) for top in token.top]}


def _spelled(token: Token | TopToken) -> dict[str, Any]:
    return {
        "token": token.bytes.decode("utf-8", "replace"),
        "logprob": token.logprob,
        "bytes": list(token.bytes),
    }
