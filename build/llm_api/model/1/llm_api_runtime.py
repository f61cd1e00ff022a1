"""TensorRT-LLM's own classes: the one module that needs the package, 1.2.1 or later."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch  # type: ignore[import-not-found]
import xgrammar  # type: ignore[import-not-found]
from llm_api_arguments import needs_streaming, sampling_arguments
from llm_api_engine import LlmApiEngine
from llm_api_guide import LlmApiGuide
from llm_api_request import LlmApiLimits, LlmApiRequest
from llm_api_settings import InvalidSettings, LlmApiSettings, read_settings
from tensorrt_llm import LLM, SamplingParams  # type: ignore[import-not-found]
from tensorrt_llm.executor import LoRARequest  # type: ignore[import-not-found]
from tensorrt_llm.llmapi import GuidedDecodingParams, KvCacheConfig  # type: ignore[import-not-found]
from tensorrt_llm.lora_helper import LoraConfig  # type: ignore[import-not-found]


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
            **sampling_arguments(request),
        )
        return self._llm.generate_async(
            request.prompt_ids,
            sampling_params=params,
            lora_request=None if request.task_id is None else self._adapters[request.task_id],
            streaming=needs_streaming(request),
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
        llm = LLM(**llm_arguments(settings))
    except (ValueError, RuntimeError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise InvalidSettings(f"checkpoint_dir: {settings.checkpoint} can't be opened: {reason}") from error
    adapters = {
        task_id: LoRARequest(str(task_id), task_id, str(folder))
        for task_id, folder in settings.adapters.items()
    }
    limits = LlmApiLimits(settings.vocab_size, settings.max_model_len, settings.adapters.keys())
    return LlmApiEngine(TensorRtLlm(llm, adapters), limits, settings.tokens_per_block)


def llm_arguments(settings: LlmApiSettings) -> dict[str, Any]:
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
