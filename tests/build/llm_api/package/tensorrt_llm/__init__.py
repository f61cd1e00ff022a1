"""A double of TensorRT-LLM 1.2.1's LLM API: the recorded signatures and the documented behaviour, no model.

After a prompt that ends with id i it writes i + 1, i + 2, ... and the end id after LLM.length of them.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

from tests.build.llm_api import upstream

CACHED_TOKENS = 70


class Arguments(SimpleNamespace):
    """Keyword arguments, held to a recorded signature: names and declared types."""

    signature: ClassVar[dict[str, tuple[str, object]]] = {}

    def __init__(self, **values: Any) -> None:
        unknown = values.keys() - self.signature.keys()
        if unknown:
            raise TypeError(f"{type(self).__name__} got an unexpected keyword argument {min(unknown)!r}")
        for name, value in values.items():
            _require(name, value, self.signature[name][0])
        defaults = {name: default for name, (_, default) in self.signature.items()}
        super().__init__(**{**defaults, **values})


def _require(name: str, value: object, declared: str) -> None:
    if not any(_is_a(value, kind) for kind in declared.split(" | ")):
        raise TypeError(f"{name} is {declared}, not {type(value)}")


def _is_a(value: object, declared: str) -> bool:
    """As pydantic's strict mode and the executor's bindings hold it: no NumPy numbers, no int for a bool."""
    if declared == "None":
        return value is None
    if declared.startswith("list["):
        return isinstance(value, list) and all(_is_a(item, declared[5:-1]) for item in value)
    if declared == "float":
        return type(value) in (int, float)
    return type(value).__name__ == declared.partition("[")[0]


class SamplingParams(Arguments):
    signature = upstream.SAMPLING_PARAMS

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.end_id is None:
            raise ValueError("tokenizer is required to reset end_id if it is None")
        if self.stop is not None or self.bad is not None:
            raise RuntimeError("not processed by tokenizer, please call the setup method.")
        if self.top_p is not None and not 0 <= self.top_p <= 1:
            raise ValueError(f"require 0 <= top_p <= 1, got top_p={self.top_p}")


@dataclass
class Logprob:
    logprob: float
    rank: int | None = None


@dataclass
class CompletionOutput:
    index: int = 0
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[dict[int, Logprob]] = field(default_factory=list)
    finish_reason: str | None = None


class RequestOutput:
    def __init__(self, llm: "LLM", prompt: list[int], params: SamplingParams, streaming: bool) -> None:
        # As has_event_loop(): outside of one the result could not be awaited.
        self._loop = asyncio.get_running_loop()
        self.prompt_token_ids = prompt
        self.params = params
        self.streaming = streaming
        self.outputs = [CompletionOutput()]
        self.finished = False
        self.cached_tokens = 0
        self.is_aborted = False
        self._llm = llm
        self._wake = asyncio.Event()

    def __aiter__(self) -> AsyncIterator["RequestOutput"]:
        return self

    async def __anext__(self) -> "RequestOutput":
        if self.finished:
            raise StopAsyncIteration
        await asyncio.sleep(0)
        self.cached_tokens = CACHED_TOKENS
        self._write()
        while not (self.streaming or self.finished):
            self._write()
        if self.outputs[0].token_ids[-1:] == [self._llm.hangs_at]:
            await self._wake.wait()
        return self

    def abort(self) -> None:
        self.is_aborted = True
        self.finished = True
        self.outputs[0].finish_reason = "cancelled"
        self._wake.set()

    def _write(self) -> None:
        output, params = self.outputs[0], self.params
        place = len(output.token_ids)
        is_end = params.end_id >= 0 and place >= self._llm.length
        token_id = params.end_id if is_end else (self.prompt_token_ids[-1] + 1 + place) % self._llm.vocab_size
        if token_id == self._llm.fails_at:
            raise RuntimeError("Executor failed")
        output.token_ids.append(token_id)
        if params.logprobs:
            # The likeliest ids, and the chosen one among them.
            output.logprobs.append({token_id: Logprob(-0.5, 2), 7_000: Logprob(-0.1, 1)})
        if is_end or token_id in (params.stop_token_ids or ()):
            output.finish_reason, self.finished = "stop", True
            if not is_end and not params.include_stop_str_in_output:
                output.token_ids.pop()
        elif len(output.token_ids) >= params.max_tokens:
            output.finish_reason, self.finished = "length", True


class LLM:
    """What a test may set of the next one made: length, fails_at and hangs_at, which are ids."""

    length: ClassVar[int] = 5
    vocab_size: ClassVar[int] = 100
    fails_at: ClassVar[int] = -2
    hangs_at: ClassVar[int] = -2
    made: ClassVar[list["LLM"]] = []

    def __init__(self, **arguments: Any) -> None:
        unknown = arguments.keys() - upstream.LLM
        if unknown:
            raise ValueError(f"LLM got an unknown argument {min(unknown)!r}")
        for name, value in arguments.items():
            _require(name, value, upstream.LLM_TYPES[name])
        # By AutoTokenizer (tokenizer/tokenizer.py), which knows a folder by this file or by a config.json.
        if not (Path(arguments["tokenizer"]) / "tokenizer_config.json").is_file():
            raise ValueError(f"Unrecognized model in {arguments['tokenizer']}.")
        self.arguments = arguments
        self.results: list[RequestOutput] = []
        self.loras: list[Any] = []
        self.is_shut_down = False
        self.made.append(self)

    def generate_async(self, inputs: list[int], **arguments: Any) -> RequestOutput:
        assert arguments.keys() <= upstream.GENERATE_ASYNC
        if self.is_shut_down:
            raise RuntimeError("LLM is shutting down")
        self.loras.append(arguments.get("lora_request"))
        result = RequestOutput(self, list(inputs), arguments["sampling_params"], arguments["streaming"])
        self.results.append(result)
        return result

    def shutdown(self) -> None:
        self.is_shut_down = True
