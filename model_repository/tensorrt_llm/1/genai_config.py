"""A request in the words of OpenVINO GenAI."""

import openvino_genai
from engine_request import EngineRequest

# Its generator drops all but 32 bits of a seed; modulo the largest prime below 2**32, all 64 have a say.
_NUM_SEEDS = 4294967291

# With top_k alone, GenAI draws from candidates in an order that the last bit of a logit can change, and the
# draw with it; top_p sorts them first.
_ALMOST_ONE = 1 - 2**-24


def generation_config(request: EngineRequest) -> openvino_genai.GenerationConfig:
    config = openvino_genai.GenerationConfig()
    config.max_new_tokens = request.max_new_tokens
    config.logprobs = int(request.returns_log_probs)
    _set_ends(config, request)
    _set_sampling(config, request)
    return config


def _set_ends(config: openvino_genai.GenerationConfig, request: EngineRequest) -> None:
    ids = {word[0] for word in request.stop_words if len(word) == 1}
    if request.end_id is not None:
        ids.add(request.end_id)
    config.ignore_eos = not ids
    # GenAI wants an end id even of a request that ignores it.
    config.stop_token_ids = ids or {0}
    config.eos_token_id = min(config.stop_token_ids)
    # It also keeps ignored end ids from being written before min_new_tokens.
    config.min_new_tokens = request.min_new_tokens if ids else 0


def _set_sampling(config: openvino_genai.GenerationConfig, request: EngineRequest) -> None:
    sampling = request.sampling
    config.repetition_penalty = sampling.repetition_penalty
    config.presence_penalty = sampling.presence_penalty
    config.frequency_penalty = sampling.frequency_penalty
    config.do_sample = not sampling.is_greedy
    if sampling.is_greedy:
        return
    config.temperature = sampling.temperature
    config.top_p = min(sampling.top_p, _ALMOST_ONE) if sampling.top_k else sampling.top_p
    config.min_p = sampling.min_p
    if sampling.top_k:
        config.top_k = sampling.top_k
    config.rng_seed = sampling.seed % _NUM_SEEDS
