"""One generation as its client asked for it, read from the input tensors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from client_input import ClientError, decode_text
from numpy.typing import NDArray


@dataclass(frozen=True)
class GenerationRequest:
    """None stands for an input that is absent."""

    text_input: str | None
    messages: str | None
    tools: str | None
    prompt_ids: list[int] | None
    add_generation_prompt: bool | None
    continue_final_message: bool
    tokenize_only: bool
    add_special_tokens: bool
    truncate_prompt_tokens: int | None
    fill_window: bool
    max_tokens: int | None
    end_id: int | None
    pad_id: int | None
    stop_words: list[str]
    stop_token_ids: list[int]
    bad_words: list[str]
    bias_words: list[str]
    bias_weights: list[float]
    logit_bias_ids: list[int]
    logit_bias_values: list[float]
    guide_type: str | None
    guide: str | None


def read_request(tensors: Mapping[str, NDArray[Any]]) -> GenerationRequest:
    """Tensors by input name, each with a leading batch dimension, which must be 1."""
    for name, tensor in tensors.items():
        if tensor.shape[0] != 1:
            raise ClientError(f"Send one prompt per request: {name} has batch size {tensor.shape[0]}.")
    values = {name: tensor.reshape(-1).tolist() for name, tensor in tensors.items()}
    request = GenerationRequest(
        text_input=_text(values, "text_input", "prompt"),
        messages=_text(values, "messages", "messages"),
        tools=_text(values, "tools", "tools"),
        prompt_ids=values.get("prompt_ids"),
        add_generation_prompt=_scalar(values, "add_generation_prompt"),
        continue_final_message=bool(_scalar(values, "continue_final_message")),
        tokenize_only=bool(_scalar(values, "tokenize_only")),
        add_special_tokens=_scalar(values, "add_special_tokens") is not False,
        truncate_prompt_tokens=_scalar(values, "truncate_prompt_tokens"),
        fill_window=bool(_scalar(values, "fill_window")),
        max_tokens=_scalar(values, "max_tokens"),
        end_id=_scalar(values, "end_id"),
        pad_id=_scalar(values, "pad_id"),
        stop_words=_words(values, "stop_words"),
        stop_token_ids=values.get("stop_token_ids", []),
        bad_words=_words(values, "bad_words"),
        bias_words=_words(values, "embedding_bias_words"),
        bias_weights=values.get("embedding_bias_weights", []),
        logit_bias_ids=values.get("logit_bias_ids", []),
        logit_bias_values=values.get("logit_bias_values", []),
        guide_type=_text(values, "guided_decoding_guide_type", "guided_decoding_guide_type"),
        guide=_text(values, "guided_decoding_guide", "guided_decoding_guide"),
    )
    _check(request)
    return request


def _check(request: GenerationRequest) -> None:
    sources = (request.text_input, request.messages, request.prompt_ids)
    if sum(source is not None for source in sources) != 1:
        raise ClientError("Send exactly one of text_input, messages and prompt_ids.", "prompt")
    if request.tools is not None and request.messages is None:
        raise ClientError("tools needs messages.", "tools")
    if request.max_tokens is not None and request.max_tokens < 1:
        raise ClientError("max_tokens must be at least 1.", "max_tokens")
    most = request.truncate_prompt_tokens
    if most is not None and most != -1 and most < 1:
        raise ClientError("truncate_prompt_tokens must be at least 1, or -1.", "truncate_prompt_tokens")
    _check_weights(request.bias_words, request.bias_weights, "embedding_bias_weights")
    _check_weights(request.logit_bias_ids, request.logit_bias_values, "logit_bias")


def _check_weights(biased: Sequence[object], weights: Sequence[float], param: str) -> None:
    if len(biased) != len(weights) or not all(map(isfinite, weights)):
        raise ClientError(f"{param} must be one finite number for each word or id.", param)


def _scalar(values: Mapping[str, list[Any]], name: str) -> Any:
    value = values.get(name)
    if value is not None and len(value) != 1:
        raise ClientError(f"{name} must be one value, not {len(value)}.", name)
    return None if value is None else value[0]


def _text(values: Mapping[str, list[Any]], name: str, param: str) -> str | None:
    data = _scalar(values, name)
    return None if data is None else decode_text(data, param)


def _words(values: Mapping[str, list[Any]], name: str) -> list[str]:
    return [decode_text(word, name) for word in values.get(name, [])]
