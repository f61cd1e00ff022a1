"""A request in the arguments of TensorRT-LLM's SamplingParams."""

from typing import Any

from llm_api_request import LlmApiRequest

# Ends nothing: what the LLM API itself makes of ignore_eos.
_NO_END = -1


def sampling_arguments(request: LlmApiRequest) -> dict[str, Any]:
    """Of SamplingParams, but those whose values are objects: guided_decoding and embedding_bias."""
    sampling = request.sampling
    arguments: dict[str, Any] = {
        # With an end id the LLM API asks no tokenizer for one, nor for the words of strings.
        "end_id": _NO_END if request.end_id is None else request.end_id,
        "pad_id": request.end_id or 0,
        "max_tokens": request.max_new_tokens,
        "min_tokens": request.min_new_tokens or None,
        "stop_token_ids": engine_stop_ids(request) or None,
        # Otherwise the stop id is cut off when the text ends, after it was streamed.
        "include_stop_str_in_output": True,
        "bad_token_ids": request.bad_ids or None,
        "repetition_penalty": sampling.repetition_penalty,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        # 0 means none in 1.2.1, and the chosen id's alone from 1.3 on.
        "logprobs": 1 if request.returns_log_probs else None,
        "detokenize": False,
        "add_special_tokens": False,
        "skip_special_tokens": False,
    }
    if sampling.is_greedy:
        return arguments | {"top_k": 1}
    return arguments | {
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "seed": sampling.seed,
    }


def engine_stop_ids(request: LlmApiRequest) -> list[int]:
    """Stop words that the engine may watch for: single ids, and only where no least length holds them off."""
    if request.min_new_tokens:
        return []
    return [word[0] for word in request.stop_words if len(word) == 1]


def needs_streaming(request: LlmApiRequest) -> bool:
    """Whether ids are needed as they come: by the client, or for stop words that the engine can't know."""
    return request.is_streaming or len(engine_stop_ids(request)) < len(request.stop_words)
