"""The log-probs of one choice of a completion: lists side by side, with each token's place in the text."""

import codecs
from collections.abc import Iterable, Sequence
from typing import Any

from frontend.api.completions.echo import EchoToken
from frontend.generation.delta import PromptScore, Token, TopToken

# Log-prob and alternatives.
_Score = tuple[float | None, Sequence[TopToken]]
_UNKNOWN: _Score = (None, ())


class CompletionLogprobs:
    """Of one choice, from chunk to chunk: a token starts where the text before it ends."""

    def __init__(self) -> None:
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._num_chars = 0

    def of(
        self, prompt: Sequence[EchoToken], scores: Iterable[PromptScore], tokens: Sequence[Token]
    ) -> dict[str, Any]:
        """Those of the prompt, if any, before those of the answer; the prompt's first token has none."""
        scored: list[tuple[EchoToken | Token, _Score]] = []
        if prompt:
            known = [_UNKNOWN, *((score.logprob, score.top) for score in scores)]
            scored += zip(prompt, known, strict=True)
        scored += [(token, (token.logprob, token.top)) for token in tokens]
        return {
            "text_offset": [self._offset(token) for token, _ in scored],
            "token_logprobs": [logprob for _, (logprob, _) in scored],
            "tokens": [_text(token) for token, _ in scored],
            "top_logprobs": [_alternatives(token, score) for token, score in scored],
        }

    def _offset(self, token: EchoToken | Token) -> int:
        offset = self._num_chars
        if token.is_in_text:
            self._num_chars += len(self._utf8.decode(token.bytes))
        return offset


def _alternatives(token: EchoToken | Token, score: _Score) -> dict[str, float] | None:
    """Text -> log-prob, the best first, with the token itself in any case; of equal texts the likeliest."""
    logprob, top = score
    if logprob is None:
        return None
    found: dict[str, float] = {}
    for other in top:
        found.setdefault(_text(other), other.logprob)
    if found:
        found.setdefault(_text(token), logprob)
    return found


def _text(token: EchoToken | Token | TopToken) -> str:
    """Bytes that are no text are spelled out, as OpenAI does, so that two of them are not one key."""
    try:
        return token.bytes.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in token.bytes)
