"""TensorRT-LLM's own classes: the one module that needs the package, 1.2.1 or later."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch  # type: ignore[import-not-found]
import xgrammar  # type: ignore[import-not-found]
from contract.parameters import InvalidSettings
from contract.request import GenerationRequest, ModelLimits
from llm_api_engine import LlmApiEngine
from llm_api_request import LlmApiGuide, LlmApiRequest
from llm_api_settings import LlmApiSettings, read_settings
from tensorrt_llm import LLM, SamplingParams  # type: ignore[import-not-found]
from tensorrt_llm.executor import LoRARequest  # type: ignore[import-not-found]
from tensorrt_llm.llmapi import GuidedDecodingParams, KvCacheConfig  # type: ignore[import-not-found]
from tensorrt_llm.lora_helper import LoraConfig  # type: ignore[import-not-found]

# Ends nothing: what the LLM API itself makes of ignore_eos.
_NO_END = -1


class TensorRtLlm:
    """Runtime of an LlmApiEngine."""

    def __init__(self, llm: Any, adapters: Mapping[int, Any]) -> None:
        self._llm = llm
        self._adapters = adapters

    def generate(self, request: LlmApiRequest) -> Any:
        params = SamplingParams(
            guided_decoding=GuidedDecodingParams(**request.guide.arguments) if request.guide else None,
            # A copy: Triton's memory is read-only.
            embedding_bias=None if request.bias is None else torch.from_numpy(request.bias.copy()),
            **_sampling_arguments(request),
        )
        return self._llm.generate_async(
            request.wanted.prompt_ids,
            sampling_params=params,
            lora_request=None if request.task_id is None else self._adapters[request.task_id],
            streaming=_needs_streaming(request.wanted),
        )

    def try_out(self, guide: LlmApiGuide) -> None:
        """xgrammar, the engine's own, raises RuntimeError for what it can't compile."""
        read = {
            "json_schema": xgrammar.Grammar.from_json_schema,
            "regex": xgrammar.Grammar.from_regex,
            "ebnf_grammar": xgrammar.Grammar.from_ebnf,
        }[guide.type]
        read(guide.text)

    def shutdown(self) -> None:
        self._llm.shutdown()


def load_engine(model_config: Mapping[str, Any], model_folder: str) -> LlmApiEngine:
    """Takes what Triton tells a model: its configuration, and its own folder among the models."""
    settings = read_settings(model_config, Path(model_folder).parent)
    try:
        llm = LLM(**_llm_arguments(settings))
    except (ValueError, RuntimeError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise InvalidSettings(f"checkpoint_dir: {settings.checkpoint} can't be opened: {reason}") from error
    adapters = {
        task_id: LoRARequest(str(task_id), task_id, str(folder))
        for task_id, folder in settings.adapters.items()
    }
    limits = ModelLimits(settings.vocab_size, settings.max_model_len)
    return LlmApiEngine(TensorRtLlm(llm, adapters), limits, adapters.keys(), settings.tokens_per_block)


def _llm_arguments(settings: LlmApiSettings) -> dict[str, Any]:
    """Of LLM; what is left out keeps NVIDIA's default."""
    arguments: dict[str, Any] = {
        "model": str(settings.checkpoint),
        "tokenizer": str(settings.tokenizer),
        "tensor_parallel_size": settings.tensor_parallel,
        "pipeline_parallel_size": settings.pipeline_parallel,
        "max_batch_size": settings.max_num_seqs,
        "max_num_tokens": settings.max_num_tokens,
        "max_seq_len": settings.max_model_len,
        "enable_chunked_prefill": True,
        "guided_decoding_backend": "xgrammar",
        # The other one, 1.2.1's default, samples with one seed for everybody and knows no penalties.
        "sampler_type": "TRTLLMSampler",
        "kv_cache_config": KvCacheConfig(
            enable_block_reuse=True,
            free_gpu_memory_fraction=settings.kv_cache_fraction,
            dtype=settings.kv_cache_type,
            tokens_per_block=settings.tokens_per_block,
        ),
    }
    if settings.adapters:
        arguments |= {
            "enable_lora": True,
            "lora_config": LoraConfig(
                # One of them tells which modules have weights; requests name the folder of theirs.
                lora_dir=[str(next(iter(settings.adapters.values())))],
                max_lora_rank=settings.max_adapter_rank,
                max_loras=len(settings.adapters),
                max_cpu_loras=len(settings.adapters),
            ),
        }
    return arguments


def _sampling_arguments(request: LlmApiRequest) -> dict[str, Any]:
    """Of SamplingParams, but those whose values are objects: guided_decoding and embedding_bias."""
    wanted = request.wanted
    sampling = wanted.sampling
    arguments: dict[str, Any] = {
        # With an end id the LLM API asks no tokenizer for one, nor for the words of strings.
        "end_id": _NO_END if wanted.end_id is None else wanted.end_id,
        "pad_id": wanted.end_id or 0,
        "max_tokens": wanted.max_new_tokens,
        "min_tokens": wanted.min_new_tokens or None,
        "stop_token_ids": _engine_stop_ids(wanted) or None,
        # Otherwise the stop id is cut off when the text ends, after it was streamed.
        "include_stop_str_in_output": True,
        "bad_token_ids": request.bad_ids or None,
        "repetition_penalty": sampling.repetition_penalty,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        # 0 means none in 1.2.1, and the chosen id's alone from 1.3 on.
        "logprobs": 1 if wanted.returns_log_probs else None,
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


def _engine_stop_ids(wanted: GenerationRequest) -> list[int]:
    """Stop words that the engine may watch for: single ids, and only where no least length holds them off."""
    if wanted.min_new_tokens:
        return []
    return [word[0] for word in wanted.stop_words if len(word) == 1]


def _needs_streaming(wanted: GenerationRequest) -> bool:
    """Whether ids are needed as they come: by the client, or for stop words that the engine can't know."""
    return wanted.is_streaming or len(_engine_stop_ids(wanted)) < len(wanted.stop_words)
