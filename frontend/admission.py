"""Lets a request through to the model that it names, within the limits of the settings."""

from frontend.errors import InvalidRequest, model_not_found
from frontend.requests import GenerationParameters
from frontend.served_model import ServedModel
from frontend.settings import Settings
from frontend.triton import Triton


class Admission:
    def __init__(self, triton: Triton, settings: Settings) -> None:
        self._triton = triton
        self._settings = settings

    async def served_model(self, parameters: GenerationParameters) -> ServedModel:
        self._require_within_limits(parameters)
        return await self.named_model(parameters.model)

    async def named_model(self, name: str) -> ServedModel:
        model = await self._triton.served_model()
        if name not in model.names:
            raise model_not_found(name)
        return model

    def _require_within_limits(self, parameters: GenerationParameters) -> None:
        if parameters.num_candidates > self._settings.max_choices:
            raise InvalidRequest(f"n: at most {self._settings.max_choices} choices are allowed.", "n")
        if len(parameters.stop_strings) > self._settings.max_stop_strings:
            raise InvalidRequest(
                f"stop: at most {self._settings.max_stop_strings} strings are allowed.", "stop"
            )
