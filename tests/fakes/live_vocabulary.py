"""The frontend's client of fake Tritons whose vocabulary grows with what the tests let them say.

A real vocabulary never changes, so that the frontend asks for it once.
"""

from dataclasses import replace

from frontend.triton.model import ServedModel
from frontend.triton.triton import Triton
from tests.fakes.triton_server import Vocabulary


class LiveTriton(Triton):
    async def served_model(self) -> ServedModel:
        return replace(await super().served_model(), vocabulary=Vocabulary())
