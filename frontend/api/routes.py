"""The endpoints: each reads a request, runs its generations and answers whole or as a stream."""

from typing import Any

from fastapi import APIRouter

from frontend.api.json_route import add_json_route
from frontend.api.model_card import model_card, model_list
from frontend.errors import EngineUnavailable, model_not_found
from frontend.triton.triton import Triton


class ModelRoutes:
    """/v1/models."""

    def __init__(self, triton: Triton) -> None:
        self._triton = triton
        self.router = APIRouter(prefix="/v1")
        add_json_route(self.router, "GET", "/models", self.list_models)
        # Model names hold slashes, as on Hugging Face.
        add_json_route(self.router, "GET", "/models/{model:path}", self.retrieve_model)

    async def list_models(self) -> dict[str, Any]:
        return model_list(await self._triton.served_model())

    async def retrieve_model(self, model: str) -> dict[str, Any]:
        served = await self._triton.served_model()
        if model not in served.names:
            raise model_not_found(model)
        return model_card(served, model)


def health_routes(triton: Triton) -> APIRouter:
    """/health: open to everybody, for probes."""
    router = APIRouter(prefix="/health")

    @router.get("/live")
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @router.get("/ready")
    async def ready() -> dict[str, str]:
        if not await triton.is_ready():
            raise EngineUnavailable("The model is not ready.")
        return {"status": "ready"}

    return router
