"""An OpenAI request -> what the engine is asked for: one GenerationRequest per prompt and choice."""

import secrets
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from frontend.api.chat.guide import chat_guide
from frontend.api.chat.prompt import chat_prompt, conversation_beginning
from frontend.api.chat.request import ChatRequest
from frontend.api.completions.request import CompletionRequest
from frontend.api.guide import Guide, requested_guide
from frontend.api.sampling import GenerationParameters
from frontend.errors import InvalidRequest
from frontend.generation.request import GenerationRequest
from frontend.triton.model import LORA_INPUT, ServedModel
from frontend.triton.routing import MIN_CHARS, MIN_IDS, conversation_key
from frontend.triton.tensors import TensorValue

# Parameters of the API that only some engines honour -> the engine's input that carries them.
ENGINE_INPUTS = {
    "min_p": "min_p",
    "bad_words": "bad_words_list",
    "logit_bias": "embedding_bias",
    "top_logprobs": "return_generation_logits",
}
# What echo with logprobs needs.
PROMPT_SCORES_INPUT = "num_prompt_log_probs"
# Of one completion request; each is a generation, and further ones are a request of their own.
MAX_PROMPTS = 64

# Chat templates may drop some of a history, such as old thoughts; JSON spells a character with two.
CHAT_SLACK = 4

# Inputs of the engine that have another name than the field that fills them.
_FIELD_NAMES = {
    "bad_words_list": "bad_words",
    "embedding_bias": "logit_bias",
    "input_ids": "prompt",
    "request_output_len": "max_tokens",
    "runtime_top_k": "top_k",
    "runtime_top_p": "top_p",
    "stop_words_list": "stop_token_ids",
}


class Prompt(NamedTuple):
    """What the ensemble makes a prompt of, and what its later turns repeat; None: that is too short."""

    inputs: Mapping[str, TensorValue]
    beginning: str | None


def from_chat(chat: ChatRequest, model: ServedModel, fills_window: bool = False) -> list[GenerationRequest]:
    inputs = chat_prompt(chat) | ({"fill_window": True} if fills_window else {})
    _require_fitting(inputs, chat, model)
    return _generations(
        [Prompt(inputs, conversation_beginning(chat))],
        chat,
        chat_guide(chat),
        chat.max_new_tokens,
        chat.wants_logprobs,
        model,
    )


def from_completion(completion: CompletionRequest, model: ServedModel) -> list[GenerationRequest]:
    if completion.logprobs:
        _require_engine_input("logprobs", ENGINE_INPUTS["top_logprobs"], model)
    if completion.scores_prompt:
        _require_engine_input("echo", PROMPT_SCORES_INPUT, model)
    prompts = completion.prompts
    if not 1 <= len(prompts) <= MAX_PROMPTS:
        raise InvalidRequest(f"prompt: between 1 and {MAX_PROMPTS} prompts are allowed.", "prompt")
    inputs = [
        _raw_prompt(prompt, f"prompt[{index}]", completion.add_special_tokens)
        for index, prompt in enumerate(prompts)
    ]
    for prompt in inputs:
        _require_fitting(prompt.inputs, completion, model)
    guide = requested_guide(completion)
    ranks = completion.num_candidates > completion.num_choices
    wants_logprobs = completion.wants_logprobs or ranks
    return _generations(inputs, completion, guide, completion.max_new_tokens, wants_logprobs, model)


def _raw_prompt(prompt: str | list[int], param: str, adds_special_tokens: bool) -> Prompt:
    if isinstance(prompt, str):
        inputs = {"text_input": prompt} | ({} if adds_special_tokens else {"add_special_tokens": False})
        return Prompt(inputs, prompt[:MIN_CHARS] if len(prompt) >= MIN_CHARS else None)
    if not prompt:
        raise InvalidRequest(f"{param}: must not be empty.", param)
    return Prompt({"prompt_ids": prompt}, str(prompt[:MIN_IDS]) if len(prompt) >= MIN_IDS else None)


def _generations(
    prompts: Sequence[Prompt],
    parameters: GenerationParameters,
    guide: Guide | None,
    max_new_tokens: int | None,
    wants_logprobs: bool,
    model: ServedModel,
) -> list[GenerationRequest]:
    _require_engine_support(parameters, model)
    sampling = _sampling_inputs(parameters) | _guide_inputs(guide, model)
    adapter = model.adapters.get(parameters.model)
    if adapter is not None:
        sampling[LORA_INPUT] = adapter
    # In one response, the logits of 8,192 tokens of Llama 3.1 take 4 GB. And a text that is not seen as it
    # grows can't be stopped where a stop string ends it.
    sampling["stream"] = (
        parameters.is_stream or parameters.num_top_logprobs > 0 or bool(parameters.stop_strings)
    )
    sampling["exclude_input_in_output"] = True
    sampling["return_num_input_tokens"] = True
    # Nine of its ten outputs the ensemble keeps until the request ends: 1,000 streams of 3,000 tokens stood
    # still for 15 s while Triton's tables of these grew.
    if model.tokens_per_block is not None and (parameters.shows_usage or not model.sends_all_metrics):
        sampling["return_perf_metrics"] = True
    if max_new_tokens is not None:
        # TensorRT-LLM generates one token at least.
        sampling["max_tokens"] = max(max_new_tokens, 1)
    sampling |= _logprob_inputs(parameters, wants_logprobs)
    seed = secrets.randbits(63) if parameters.seed is None else parameters.seed
    return [
        GenerationRequest(
            index=prompt_index * parameters.num_candidates + choice,
            inputs={**prompt.inputs, **sampling, "seed": (seed + choice) % 2**64},
            conversation=conversation_key(prompt.beginning, adapter),
            max_new_tokens=max_new_tokens,
            ends_at_stop_ids=not parameters.ignore_eos,
            stop_token_ids=frozenset(parameters.stop_token_ids),
            min_tokens=parameters.min_tokens,
            stop_strings=parameters.stop_strings,
            keeps_stop_string=parameters.include_stop_str_in_output,
            keeps_special_tokens=not parameters.skip_special_tokens,
            kept_special=parameters.kept_special,
            field_names=_FIELD_NAMES | _guide_field(guide),
            wants_logprobs=wants_logprobs,
            num_top_logprobs=parameters.num_top_logprobs,
            scores_prompt=parameters.scores_prompt,
        )
        for prompt_index, prompt in enumerate(prompts)
        for choice in range(parameters.num_candidates)
    ]


def _require_fitting(
    inputs: Mapping[str, TensorValue], parameters: GenerationParameters, model: ServedModel
) -> None:
    """Refuses what is beyond the window however its bytes make tokens: each generation would send it on."""
    if parameters.truncate_prompt_tokens is not None:
        return
    for name, param, slack in (("text_input", "prompt", 1), ("messages", "messages", CHAT_SLACK)):
        text = inputs.get(name)
        most = model.max_model_len * model.longest_token * slack
        if isinstance(text, str) and model.longest_token and len(text) > most:
            raise InvalidRequest(
                f"This model's maximum context length is {model.max_model_len} tokens. However, your {param} "
                f"has {len(text)} characters, which are more. Please reduce the length of the {param}.",
                param,
                "context_length_exceeded",
            )


def _sampling_inputs(parameters: GenerationParameters) -> dict[str, TensorValue]:
    inputs: dict[str, TensorValue] = {
        name: value
        for name in ("repetition_penalty", "presence_penalty", "frequency_penalty")
        if (value := getattr(parameters, name)) is not None
    }
    if parameters.min_p and not _is_greedy(parameters):
        inputs["min_p"] = parameters.min_p
    if parameters.truncate_prompt_tokens is not None:
        inputs["truncate_prompt_tokens"] = parameters.truncate_prompt_tokens
    if parameters.min_tokens:
        inputs["min_tokens"] = parameters.min_tokens
    if parameters.ignore_eos:
        inputs["end_id"] = -1
    if parameters.stop_token_ids:
        inputs["stop_token_ids"] = parameters.stop_token_ids
    if parameters.bad_words:
        inputs["bad_words"] = parameters.bad_words
    if parameters.logit_bias:
        inputs["logit_bias_ids"] = [int(token_id) for token_id in parameters.logit_bias]
        inputs["logit_bias_values"] = list(parameters.logit_bias.values())
    return inputs | _temperature_inputs(parameters)


def _logprob_inputs(parameters: GenerationParameters, wants_logprobs: bool) -> dict[str, TensorValue]:
    """Never log-probs and logits together: cancelling such a stream aborts TensorRT-LLM (its issue 10810)."""
    inputs: dict[str, TensorValue] = {}
    if parameters.num_top_logprobs:
        inputs["return_generation_logits"] = True
    elif wants_logprobs:
        inputs["return_log_probs"] = True
    if parameters.scores_prompt:
        inputs[PROMPT_SCORES_INPUT] = parameters.num_top_logprobs
    return inputs


def _is_greedy(parameters: GenerationParameters) -> bool:
    """With a min_p of 1, which engines refuse, nothing but the likeliest token is left either."""
    return parameters.temperature == 0 or parameters.min_p == 1


def _temperature_inputs(parameters: GenerationParameters) -> dict[str, TensorValue]:
    # TensorRT-LLM takes no temperature 0, and is greedy when neither top_k nor top_p is sent.
    if _is_greedy(parameters):
        return {"top_k": 1}
    inputs: dict[str, TensorValue] = {
        "temperature": 1.0 if parameters.temperature is None else parameters.temperature,
        "top_p": 1.0 if parameters.top_p is None else parameters.top_p,
    }
    if parameters.top_k is not None and parameters.top_k > 0:
        inputs["top_k"] = parameters.top_k
    return inputs


def _guide_field(guide: Guide | None) -> dict[str, str]:
    return {} if guide is None else dict.fromkeys(guide.inputs(), guide.param)


def _guide_inputs(guide: Guide | None, model: ServedModel) -> dict[str, TensorValue]:
    if guide is None:
        return {}
    inputs = guide.inputs()
    if not inputs.keys() <= model.engine_inputs:
        raise _unsupported(guide.param)
    return inputs


def _require_engine_support(parameters: GenerationParameters, model: ServedModel) -> None:
    fields = type(parameters).model_fields
    for param, engine_input in ENGINE_INPUTS.items():
        if param in fields and getattr(parameters, param):
            _require_engine_input(param, engine_input, model)


def _require_engine_input(param: str, engine_input: str, model: ServedModel) -> None:
    if engine_input not in model.engine_inputs:
        raise _unsupported(param)


def _unsupported(param: str) -> InvalidRequest:
    return InvalidRequest(
        f"{param}: the engine that serves this model does not support it.", param, "unsupported"
    )
