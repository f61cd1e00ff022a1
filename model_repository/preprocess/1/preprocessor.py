"""The whole step: what a client sent to what the engine takes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from chat_prompt import read_options, render_chat
from chat_template import ChatTemplate
from client_input import ClientError
from engine_guides import load_engine_guides
from generation_request import GenerationRequest, read_request
from numpy.typing import NDArray
from preprocess_settings import PreprocessSettings, read_settings
from prompt_tokenizer import PromptTokenizer

# Of a prompt that is only counted. Tokenizing runs in everybody's way: 0.1 s for 16 times 8,192 tokens.
_COUNTED_WINDOWS = 16

_TOO_LONG = "context_length_exceeded"

Tensors: TypeAlias = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class _ContextWindow:
    """The most that prompt and completion may have together; its complaints are OpenAI's."""

    num_tokens: int

    def check_least(self, least: int, param: str) -> None:
        """Refuses a prompt by a lower bound of its length, which is known before it is tokenized."""
        if least >= self.num_tokens:
            raise self._prompt_too_long(f"at least {least}", param)

    def completion_length(self, num_prompt: int, asked: int | None, param: str, fills: bool) -> int:
        """The tokens asked for, or all that are left when nothing is asked for.

        `fills`: what is left is enough where more is asked for.
        """
        room = self.num_tokens - num_prompt
        if room < 1:
            raise self._prompt_too_long(str(num_prompt), param)
        if asked is not None and asked > room and not fills:
            raise ClientError(
                f"This model's maximum context length is {self.num_tokens} tokens. However, you requested "
                f"{num_prompt + asked} tokens ({num_prompt} in the {param}, {asked} in the completion). "
                f"Please reduce the length of the {param} or completion.",
                "max_tokens",
                _TOO_LONG,
            )
        return room if asked is None else min(asked, room)

    def _prompt_too_long(self, num_prompt: str, param: str) -> ClientError:
        return ClientError(
            f"This model's maximum context length is {self.num_tokens} tokens. However, your {param} "
            f"resulted in {num_prompt} tokens. Please reduce the length of the {param}.",
            param,
            _TOO_LONG,
        )


class Preprocessor:
    """Everything specific to a model comes from its engine folder and the parameters."""

    def __init__(self, settings: PreprocessSettings) -> None:
        folder = settings.tokenizer_folder
        self._settings = settings
        self._window = _ContextWindow(settings.max_model_len)
        self._counting_window = _ContextWindow(_COUNTED_WINDOWS * settings.max_model_len)
        self._guides = load_engine_guides(settings.guide_check)
        self._tokenizer = PromptTokenizer(folder / "tokenizer.json")
        self._no_tokens = self._tokenizer.bias_of_no_tokens(settings.logits_size)
        self._template = ChatTemplate((folder / "chat_template.jinja").read_text("utf-8"), settings.today)
        for index in (settings.end_id, *settings.stop_ids):
            if not self._tokenizer.has_id(index):
                raise ValueError(f"end_id or stop_ids has {index}, which the tokenizer in {folder} has not.")

    def prepare(self, tensors: Tensors) -> dict[str, NDArray[Any]]:
        """Inputs by name to outputs by name, both with a leading batch dimension of 1; raises ClientError."""
        request = read_request(tensors)
        guide = self._guide(request)
        param = "prompt" if request.messages is None else "messages"
        ids = self._prompt_ids(request, param)
        if not ids:
            raise ClientError("The prompt must have at least one token.", param)
        ids = self._truncated(ids, request)
        window = self._window_of(request)
        max_tokens = window.completion_length(len(ids), request.max_tokens, param, request.fill_window)
        outputs = {
            "input_ids": np.array(ids, np.int32),
            "input_lengths": np.array([len(ids)], np.int32),
            "request_output_len": np.array([max_tokens], np.int32),
            **self._end(request),
            **self._words(request),
            **guide,
        }
        return {name: value[np.newaxis] for name, value in outputs.items()}

    def _guide(self, request: GenerationRequest) -> dict[str, NDArray[Any]]:
        """Nothing, if the client sent none."""
        if request.guide_type is None and request.guide is None:
            return {}
        guide = self._guides.read(request.guide_type or "", request.guide or "")
        names = ("guided_decoding_guide_type", "guided_decoding_guide")
        return {name: np.array([text.encode()], object) for name, text in zip(names, guide, strict=True)}

    def _prompt_ids(self, request: GenerationRequest, param: str) -> list[int]:
        if request.prompt_ids is not None:
            self._check_ids(request.prompt_ids, 0, param)
            return request.prompt_ids
        if request.text_input is not None:
            least = self._tokenizer.least_tokens(request.text_input, is_raw=True)
            self._read_window_of(request).check_least(least, param)
            return self._tokenizer.encode_completion(request.text_input, request.add_special_tokens)
        options = read_options(request.add_generation_prompt, request.continue_final_message)
        control, messages = self._tokenizer.control, request.messages or ""
        pieces = render_chat(self._template, control, messages, request.tools, options)
        text = "".join(piece for piece in pieces if isinstance(piece, str))
        self._read_window_of(request).check_least(self._tokenizer.least_tokens(text), param)
        return self._tokenizer.encode_rendered(pieces)

    def _window_of(self, request: GenerationRequest) -> _ContextWindow:
        return self._counting_window if request.tokenize_only else self._window

    def _read_window_of(self, request: GenerationRequest) -> _ContextWindow:
        """Of what is tokenized, before it is cut."""
        is_cut = request.truncate_prompt_tokens is not None
        return self._counting_window if is_cut else self._window_of(request)

    def _truncated(self, ids: list[int], request: GenerationRequest) -> list[int]:
        most = request.truncate_prompt_tokens
        if most == -1:
            most = max(1, self._window.num_tokens - (request.max_tokens or 1))
        return ids if most is None else ids[-most:]

    def _end(self, request: GenerationRequest) -> dict[str, NDArray[Any]]:
        end_id = self._settings.end_id if request.end_id is None else request.end_id
        pad_id = self._settings.end_id if request.pad_id is None else request.pad_id
        self._check_ids([end_id], -1, "end_id")
        self._check_ids([pad_id], -1, "pad_id")
        return {"end_id": np.array([end_id], np.int32), "pad_id": np.array([pad_id], np.int32)}

    def _words(self, request: GenerationRequest) -> dict[str, NDArray[Any]]:
        stop_ids = self._settings.stop_ids if request.end_id is None else ()
        self._check_ids(request.stop_token_ids, 0, "stop_token_ids")
        self._check_ids(request.logit_bias_ids, 0, "logit_bias")
        single_ids = [[index] for index in (*stop_ids, *request.stop_token_ids)]
        biased = [*self._encode_words(request.bias_words), *([index] for index in request.logit_bias_ids)]
        weights = [*request.bias_weights, *request.logit_bias_values]
        return {
            "stop_words_list": pack_words(single_ids + self._encode_words(request.stop_words)),
            "bad_words_list": pack_words(
                form for word in request.bad_words for form in self._tokenizer.encode_banned(word)
            ),
            "embedding_bias": dense_bias(biased, weights, self._no_tokens),
        }

    def _encode_words(self, words: Sequence[str]) -> list[list[int]]:
        return [self._tokenizer.encode_word(word) for word in words]

    def _check_ids(self, ids: Sequence[int], least: int, param: str) -> None:
        most = self._tokenizer.vocab_size - 1
        if ids and not least <= min(ids) <= max(ids) <= most:
            raise ClientError(f"{param} must have token ids from {least} to {most}.", param)


def load_preprocessor(parameters: Mapping[str, str], models_folder: Path) -> Preprocessor:
    """Raises ValueError with a sentence for the operator."""
    return Preprocessor(read_settings(parameters, models_folder))


def pack_words(words: Iterable[Sequence[int]]) -> NDArray[np.int32]:
    """[2, n]: all ids one after another, and each word's exclusive end offset padded with -1."""
    kept = [word for word in words if word]
    ids = [index for word in kept for index in word]
    packed = np.full((2, len(ids)), -1, np.int32)
    packed[0] = ids
    packed[1, : len(kept)] = np.cumsum([len(word) for word in kept])
    return packed


def dense_bias(
    words: Sequence[Sequence[int]], weights: Sequence[float], no_tokens: NDArray[np.float32]
) -> NDArray[np.float32]:
    """[ids] with each weight added at the ids of its word; [0] where nothing is biased.

    no_tokens: [ids], the bias of those that are no tokens, which forbids them.
    """
    if not words:
        return no_tokens if no_tokens.any() else np.empty(0, np.float32)
    bias = no_tokens.copy()
    for word, weight in zip(words, weights, strict=True):
        for index in word:
            bias[index] += weight
    return bias
