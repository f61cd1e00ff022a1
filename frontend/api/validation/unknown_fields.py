"""Fields of a body that no model here has: harmless, refused by name, or unknown to everybody."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, RootModel

from frontend.api.fields import is_neutral
from frontend.errors import InvalidRequest

logger = logging.getLogger(__name__)

MAX_NAMED_FIELDS = 20

# Top-level fields in the request models of vLLM (entrypoints/openai/*/protocol.py), SGLang
# (entrypoints/openai/protocol.py), TensorRT-LLM (serve/openai_protocol.py), llama.cpp's server
# (its README.md) and of Anthropic's beta API, by the rule of docs/api.md. These can't have an effect here:
# they are about reasoning, media, routing, caches, or which library keeps to a guide.
HINTS = frozenset(
    (
        "agent_hierarchy", "backend_sampling", "billing_policy", "cache_prompt", "client_metadata",
        "conversation_params", "custom_labels", "data_parallel_rank", "disagg_prefill_dp_rank",
        "extra_key", "guided_decoding_backend", "id_slot", "images_config", "include_reasoning",
        "max_dynamic_patch", "media_io_kwargs", "min_dynamic_patch", "mm_processor_kwargs",
        "no_cache", "reasoning_budget", "reasoning_format", "reasoning_in_content", "return_mm_kwargs",
        "routed_dp_rank", "routed_experts_start_len", "routed_experts_prompt_start", "separate_reasoning",
        "session_id", "speculative.n_max", "speculative.n_min", "speculative.p_min", "stream_interval",
        "stream_reasoning", "thinking_budget_tokens", "thinking_forced_open", "thinking_token_budget",
        "use_audio_in_video", "user_profile_id", "workspace_id",
    )
)  # fmt: skip
# These would change the answer. Beside null, false and what is empty, the value given changes nothing.
REFUSED: Mapping[str, Any] = {
    # vLLM
    "allowed_token_ids": None, "cache_salt": None, "chat_template": None, "detokenize": True,
    "documents": None, "ec_transfer_params": None, "enable_response_messages": False,
    "guided_whitespace_pattern": None, "kv_transfer_params": None, "length_penalty": 1.0,
    "logprob_token_ids": None, "previous_input_messages": None, "previous_response": None, "priority": 0,
    "prompt_embeds": None, "prompt_logprobs": None, "repetition_detection": None, "request_id": None,
    "return_prompt_text": False, "return_token_ids": False, "return_token_offsets": False,
    "return_tokens_as_token_ids": False, "spaces_between_special_tokens": True, "structural_tag": None,
    "truncate_prompt_tokens": None, "truncation_side": None, "use_beam_search": False, "vllm_xargs": None,
    "watermarking": False,
    # SGLang
    "bootstrap_host": None, "bootstrap_port": None, "bootstrap_room": None, "custom_logit_processor": None,
    "custom_params": None, "input_ids": None, "lora_path": None, "ngram_corpus_id": None,
    "no_stop_trim": False, "return_cached_tokens_details": False, "return_hidden_states": False,
    "return_meta_info": False, "return_prompt_token_ids": False, "return_routed_experts": False,
    "rid": None, "session_params": None, "stop_regex": None, "task": None,
    # TensorRT-LLM
    "disaggregated_params": None, "early_stopping": False, "lora_request": None, "prompt_ignore_length": 0,
    "return_context_logits": False, "return_generation_logits": False, "top_p_min": 0,
    # llama.cpp
    "adaptive_decay": None, "adaptive_target": -1, "dry_allowed_length": None, "dry_base": None,
    "dry_multiplier": 0, "dry_penalty_last_n": None, "dry_sequence_breakers": None, "dynatemp_exponent": None,
    "dynatemp_range": 0, "grammar_lazy": False, "grammar_triggers": None, "lora": None, "min_keep": 0,
    "mirostat": 0, "mirostat_eta": None, "mirostat_tau": None, "n_cmpl": 1, "n_discard": 0, "n_indent": 0,
    "n_keep": 0, "n_predict": -1, "n_probs": 0, "parse_tool_calls": True, "post_sampling_probs": False,
    "preserved_tokens": None, "repeat_last_n": None, "repeat_penalty": 1.0, "response_fields": None,
    "return_progress": False, "return_tokens": False, "samplers": None, "t_max_predict_ms": 0,
    "timings_per_token": False, "top_n_sigma": -1, "typical_p": 1.0, "xtc_probability": 0,
    "xtc_threshold": None,
    # Anthropic's beta API
    "compaction": None, "fallback_credit_token": None, "fallbacks": None,
}  # fmt: skip


def take_unknown_fields(body: BaseModel, are_refused: bool) -> None:
    """Takes away what no model knows, at every depth; raises InvalidRequest for what must not be dropped."""
    unknown = {}
    for place, value in _taken(body, ""):
        if place in REFUSED and not is_neutral(value, REFUSED[place]):
            raise InvalidRequest(f"{place}: this server does not support it.", place, "unsupported")
        if place not in REFUSED and place not in HINTS:
            unknown[place] = value
    if not unknown:
        return
    names = sorted(unknown)
    if are_refused:
        raise InvalidRequest(f"{names[0]}: unknown field.", names[0], "unknown_field")
    # Names come from the client: no more of them than a line holds, and no line of their own.
    logger.info("unknown fields ignored: %.500r", names[:MAX_NAMED_FIELDS])


def _taken(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, RootModel):
        yield from _taken(value.root, place)
    elif isinstance(value, BaseModel):
        if value.model_extra:
            yield from ((_inner(place, name), given) for name, given in value.model_extra.items())
            value.model_extra.clear()
        for name, inner in value.__dict__.items():
            if isinstance(inner, BaseModel | list):
                yield from _taken(inner, _inner(place, name))
    # Lists are of one kind each: none of a million ids is looked at.
    elif value and isinstance(value[0], BaseModel):
        for index, inner in enumerate(value):
            yield from _taken(inner, f"{place}[{index}]")


def _inner(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
