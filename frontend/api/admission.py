"""Lets a request through to the model that it names, within the limits of the settings and of its key."""

import math
from collections.abc import Sequence

from starlette.requests import Request

from frontend.api.sampling import GenerationParameters
from frontend.errors import InvalidRequest, model_not_found
from frontend.generation.request import GenerationRequest
from frontend.limits.gate import Gate, Slots, Work
from frontend.settings import Settings
from frontend.triton.model import ServedModel
from frontend.triton.triton import Triton

# Generations in flight for each that the engine runs: the rest are in preprocess, so that the engine finds
# the next one when one ends. More would only move the line to where it is not fair.
IN_FLIGHT_PER_SEQUENCE = 1.25
# English text takes about this many characters a token.
CHARS_PER_TOKEN = 4
# OpenAI takes 4. Each is looked for in every token's text.
MAX_STOP_STRINGS = 16


class Admission:
    def __init__(self, triton: Triton, settings: Settings, gate: Gate) -> None:
        self._triton = triton
        self._settings = settings
        self._gate = gate

    async def served_model(self, parameters: GenerationParameters) -> ServedModel:
        self._require_within_limits(parameters)
        return await self.named_model(parameters.model)

    async def named_model(self, name: str | None) -> ServedModel:
        """`name`: None where a client may leave it out."""
        model = await self._triton.served_model()
        if name is not None and name not in model.names:
            raise model_not_found(name)
        return model

    def charge(self, request: Request) -> None:
        """Counts a request that generates nothing against its key's limit; raises RateLimited."""
        self._gate.charge(request)

    def slots(
        self,
        request: Request,
        parameters: GenerationParameters,
        model: ServedModel,
        generations: Sequence[GenerationRequest],
    ) -> Slots:
        """What the generations need to run, to be entered before they do."""
        work = Work(
            num_generations=len(generations),
            num_candidates=parameters.num_candidates,
            num_tokens=_num_tokens(parameters, generations),
            is_streamed=generations[0].is_streamed,
            max_tokens=generations[0].max_new_tokens,
        )
        return Slots(self._gate, request, work, self._capacity(model))

    def _capacity(self, model: ServedModel) -> int:
        default = math.ceil(model.max_num_seqs * self._triton.num_servers * IN_FLIGHT_PER_SEQUENCE)
        return self._settings.max_concurrent_requests or default

    def _require_within_limits(self, parameters: GenerationParameters) -> None:
        if parameters.num_candidates > self._settings.max_choices:
            raise InvalidRequest(f"n: at most {self._settings.max_choices} choices are allowed.", "n")
        if len(parameters.stop_strings) > MAX_STOP_STRINGS:
            raise InvalidRequest(f"stop: at most {MAX_STOP_STRINGS} strings are allowed.", "stop")


def _num_tokens(parameters: GenerationParameters, generations: Sequence[GenerationRequest]) -> int:
    """Tokens that the request may use, estimated as OpenAI does: from the prompts' length and max_tokens."""
    prompts = generations[:: parameters.num_candidates]
    num_prompt_tokens = sum(_num_prompt_tokens(prompt) for prompt in prompts)
    return num_prompt_tokens + sum(generation.max_new_tokens or 0 for generation in generations)


def _num_prompt_tokens(generation: GenerationRequest) -> int:
    num_chars = sum(
        len(value)
        for name in ("text_input", "messages", "tools")
        if isinstance(value := generation.inputs.get(name), str)
    )
    ids = generation.inputs.get("prompt_ids")
    return num_chars // CHARS_PER_TOKEN + (len(ids) if isinstance(ids, Sequence) else 0)
