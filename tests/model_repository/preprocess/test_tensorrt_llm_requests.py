"""What reaches the `tensorrt_llm` model of a compiled engine, whatever a client may ask for: inputs of the
frontend, mapped by the ensemble and prepared by preprocess, never hold what TensorRT-LLM 1.2.1 is known to
crash on, to fail without a sentence, or to misread."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from preprocessor import Preprocessor
from pydantic import ValidationError

from build.checkpoint.tokenizer import TokenizerFacts
from build.manifest import Limits
from build.repository import CONFIG, read_config, render_tensorrt_llm_repository
from build.tensorrt_llm.engine import read_tensorrt_llm_engine
from frontend.api.chat.request import ChatRequest
from frontend.api.completions.request import CompletionRequest
from frontend.api.generation_request import from_chat, from_completion
from frontend.errors import InvalidRequest
from frontend.triton.model import ServedModel, ensemble_steps, ids_ensemble, served_model
from tests.build.compiled_engine import engine_config, write_compiled_engine
from tests.build.tensorrt_llm.upstream_config import recorded_tensors
from tests.build.test_manifest import MANIFEST

VOCAB = 128256
END_ID, STOP_IDS = 128009, {128001, 128008}
WINDOW = 8192
GUIDE_TYPES = {"json", "json_schema", "regex", "ebnf_grammar"}

Tensors = dict[str, Any]

TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
# Each is asked for alone and together with each other one, where a client may.
SHARED: list[dict[str, Any]] = [
    {},
    {"temperature": 0},
    {"temperature": 2, "top_p": 0.01},
    {"top_k": 40},
    {"top_k": -1},
    {"seed": -5},
    {"n": 3},
    {"min_tokens": 4, "max_tokens": 8},
    {"ignore_eos": True},
    {"repetition_penalty": 0.01, "presence_penalty": -2, "frequency_penalty": 2},
    {"stop": ["\n\n", "End"], "stop_token_ids": [5, 128008]},
    {"bad_words": ["one", "two words"]},
    {"logit_bias": {"5": 100, "128009": -100}},
    {"guided_regex": "[0-9]+"},
    {"guided_choice": ["yes", "no"]},
    {"response_format": {"type": "json_object"}},
    {"structured_outputs": {"json": {"type": "string"}}},
    {"stream": True},
]
CHAT: list[dict[str, Any]] = [
    *SHARED,
    {"logprobs": True},
    {"logprobs": True, "top_logprobs": 20},
    {"response_format": SCHEMA},
    {"tools": [TOOL], "tool_choice": "required"},
]
COMPLETION: list[dict[str, Any]] = [
    *SHARED,
    {"logprobs": 0},
    {"logprobs": 5},
    {"best_of": 4, "n": 1},
    {"prompt": [1, 2, 128000]},
]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an engine that was built for all that a client may use."""
    folder = tmp_path_factory.mktemp("compiled")
    plugins = {"lora_plugin": "bfloat16", "use_paged_context_fmha": True, "tokens_per_block": 32}
    config = engine_config(max_seq_len=WINDOW, gather_generation_logits=True, plugin_config=plugins)
    write_compiled_engine(folder / "engine", config)
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "xgrammar_tokenizer_info.json").touch()
    engine = read_tensorrt_llm_engine(folder / "engine")
    facts = TokenizerFacts(VOCAB, END_ID, tuple(sorted(STOP_IDS)), tuple(range(128000, VOCAB)))
    manifest = replace(MANIFEST, tokenizer=facts, limits=Limits(WINDOW, VOCAB))
    target = folder / "model_repository"
    render_tensorrt_llm_repository(manifest, engine, target, adapters={"sql": 1}, overrides={})
    return target


@pytest.fixture(scope="module")
def model(repository: Path) -> ServedModel:
    ensemble = read_config(repository / "ensemble" / CONFIG)
    steps = {name: read_config(repository / name / CONFIG) for name in ensemble_steps(ensemble)}
    ids = read_config(repository / ids_ensemble(ensemble) / CONFIG)
    return served_model(ensemble, ids, steps, created=0)


@pytest.fixture(scope="module")
def engine_tensors(repository: Path, llama: Preprocessor) -> Callable[[Mapping[str, Any]], Tensors]:
    """Inputs of the ensemble -> inputs of `tensorrt_llm`, as the ensemble maps them."""
    ensemble = read_config(repository / "ensemble" / CONFIG)
    preprocess, engine = ensemble.ensemble_scheduling.step[:2]
    produced = {tensor: output for output, tensor in preprocess.output_map.items()}

    def run(inputs: Mapping[str, Any]) -> Tensors:
        wanted = {name: inputs[source] for name, source in preprocess.input_map.items() if source in inputs}
        prepared = llama.prepare({name: as_array(value) for name, value in wanted.items()})
        tensors = {}
        for name, source in engine.input_map.items():
            if source in produced and produced[source] in prepared:
                tensors[name] = prepared[produced[source]]
            elif source in inputs:
                tensors[name] = inputs[source]
        return tensors

    return run


def as_array(value: Any) -> np.ndarray[Any, Any]:
    values = value if isinstance(value, list | tuple) else [value]
    return np.array([[item.encode() if isinstance(item, str) else item for item in values]])


def bodies(choices: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    yield from choices
    for first, second in itertools.combinations(choices, 2):
        if not first.keys() & second.keys():
            yield first | second


def generated(model: ServedModel) -> Iterator[Mapping[str, Any]]:
    """The ensemble's inputs of every request of the tables that the frontend lets through."""
    messages = [{"role": "user", "content": "Hello <|eot_id|>"}]
    for body in bodies(CHAT):
        for name in model.names:
            yield from inputs_of(
                lambda b=body, n=name: from_chat(chat({"messages": messages, "model": n} | b), model)
            )
    for body in bodies(COMPLETION):
        asked = {"prompt": ["Hello", "there"], "model": model.name} | body
        yield from inputs_of(lambda a=asked: from_completion(completion(a), model))


def chat(body: dict[str, Any]) -> ChatRequest:
    return ChatRequest.model_validate(body)


def completion(body: dict[str, Any]) -> CompletionRequest:
    return CompletionRequest.model_validate(body)


def inputs_of(make: Callable[[], list[Any]]) -> Iterator[Mapping[str, Any]]:
    """None of a request that is refused: it reaches no engine."""
    with suppress(InvalidRequest, ValidationError):
        yield from (generation.inputs for generation in make())


def text(tensors: Tensors, name: str) -> str:
    return str(tensors[name].item().decode())


def words_are_well_formed(packed: np.ndarray[Any, Any]) -> bool:
    """Offsets strictly increasing and within the ids, nothing but -1 behind the first -1 (utils.cc)."""
    ids, offsets = packed[0]
    ends = [end for end in offsets.tolist() if end != -1]
    padding = offsets.tolist()[len(ends) :]
    in_order = all(low < high for low, high in itertools.pairwise([0, *ends]))
    return in_order and all(end <= len(ids) for end in ends) and set(padding) <= {-1}


def value(tensors: Tensors, name: str, default: float) -> float:
    return float(np.ravel(tensors.get(name, default))[0])


# Each with where upstream shows it; False: the request must never be sent.
RULES: dict[str, Callable[[Tensors], bool]] = {
    "all inputs are upstream's own": lambda t: t.keys() <= recorded_tensors("input").keys(),
    # model_instance_state.cc reads a BOOL of one byte as int32.
    "no early_stopping": lambda t: "early_stopping" not in t,
    # Pull request 13633: positions 14 to 17 of the sampling configuration are shifted by one.
    "no len_penalty": lambda t: "len_penalty" not in t,
    "no num_return_sequences": lambda t: "num_return_sequences" not in t,
    "no beams": lambda t: "beam_width" not in t,
    # Issue 10810: the server aborts when such a stream is cancelled.
    "never log-probs and logits": lambda t: not ("return_log_probs" in t and "return_generation_logits" in t),
    # tensorrtllm_backend e736878: log-probs need a sampling parameter.
    "log-probs with a sampling parameter": lambda t: (
        "return_log_probs" not in t or bool({"runtime_top_k", "runtime_top_p"} & t.keys())
    ),
    # Seed 0 for everybody otherwise, and no sampling at all without top_k or top_p.
    "a seed": lambda t: "seed" in t,
    "top_k or top_p": lambda t: bool({"runtime_top_k", "runtime_top_p"} & t.keys()),
    # samplingConfig.cpp throws, which is an internal error and no sentence.
    "temperature above 0": lambda t: value(t, "temperature", 1) > 0,
    "top_p in (0, 1]": lambda t: 0 < value(t, "runtime_top_p", 1) <= 1,
    "top_k not negative": lambda t: value(t, "runtime_top_k", 0) >= 0,
    "repetition_penalty above 0": lambda t: value(t, "repetition_penalty", 1) > 0,
    "min_tokens not negative": lambda t: value(t, "min_tokens", 0) >= 0,
    # An unknown type is ignored without a word, and only `json` goes without a guide.
    "a known guide": lambda t: (
        "guided_decoding_guide_type" not in t
        or (
            text(t, "guided_decoding_guide_type") in GUIDE_TYPES
            and (text(t, "guided_decoding_guide_type") == "json" or bool(text(t, "guided_decoding_guide")))
        )
    ),
    "stop words": lambda t: words_are_well_formed(t["stop_words_list"]),
    "bad words": lambda t: words_are_well_formed(t["bad_words_list"]),
    # One number for each token of the vocabulary, or an empty tensor for none (utils.cc).
    "a bias for each token": lambda t: t["embedding_bias"].shape[-1] in (0, VOCAB),
    "a prompt": lambda t: t["input_ids"].size > 0,
    "known ids": lambda t: bool(t["input_ids"].min() >= 0 and t["input_ids"].max() < VOCAB),
    "a known end": lambda t: -1 <= value(t, "end_id", -1) < VOCAB,
    "at least one token": lambda t: value(t, "request_output_len", 0) >= 1,
    # The prompt comes back before the text otherwise.
    "the answer alone": lambda t: t["exclude_input_in_output"] is True,
}


def test_no_request_breaks_a_rule(
    model: ServedModel, engine_tensors: Callable[[Mapping[str, Any]], Tensors]
) -> None:
    num_requests = 0
    for inputs in generated(model):
        num_requests += 1
        tensors = engine_tensors(inputs)
        broken = [rule for rule, holds in RULES.items() if not holds(tensors)]
        assert not broken, inputs
    # So that a table of refused requests does not pass for a table of good ones.
    assert num_requests > 500


def test_the_end_is_eot_and_the_others_are_stop_words(
    model: ServedModel, engine_tensors: Callable[[Mapping[str, Any]], Tensors]
) -> None:
    body = {"model": model.name, "messages": [{"role": "user", "content": "Hi"}]}
    (generation,) = from_chat(chat(body), model)
    tensors = engine_tensors(generation.inputs)
    assert value(tensors, "end_id", -1) == END_ID
    ids, offsets = tensors["stop_words_list"][0].tolist()
    assert set(ids) == STOP_IDS
    assert offsets == [1, 2]


def test_nothing_ends_the_text_with_ignore_eos(
    model: ServedModel, engine_tensors: Callable[[Mapping[str, Any]], Tensors]
) -> None:
    body = {"model": model.name, "prompt": "Hi", "ignore_eos": True}
    (generation,) = from_completion(completion(body), model)
    tensors = engine_tensors(generation.inputs)
    assert value(tensors, "end_id", 0) == -1
    assert tensors["stop_words_list"].size == 0


def test_requests_without_a_seed_differ_and_choices_count_on(model: ServedModel) -> None:
    body = {"model": model.name, "prompt": "Hi", "n": 4}
    seeds = [
        [generation.inputs["seed"] for generation in from_completion(completion(body), model)]
        for _ in range(2)
    ]
    assert len({seed for choices in seeds for seed in choices}) == 8
    (given,) = from_completion(completion({"model": model.name, "prompt": "Hi", "seed": 7}), model)
    assert given.inputs["seed"] == 7


def test_an_adapter_is_asked_for_by_its_number(
    model: ServedModel, engine_tensors: Callable[[Mapping[str, Any]], Tensors]
) -> None:
    (generation,) = from_completion(completion({"model": "sql", "prompt": "Hi"}), model)
    assert engine_tensors(generation.inputs)["lora_task_id"] == 1
