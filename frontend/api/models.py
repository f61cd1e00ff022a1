"""The model list, with the keys and their order of the Lambda Chat API."""

import uuid
from typing import Any

from fastapi import APIRouter

from frontend.api.openapi import add_json_route
from frontend.errors import model_not_found
from frontend.triton.model import ServedModel
from frontend.triton.triton import Triton


def model_card(model: ServedModel, name: str) -> dict[str, Any]:
    """The card of the model itself, or of the adapter of that name: its parent is the model, as in vLLM."""
    return {
        "id": name,
        "object": "model",
        "created": model.created,
        "owned_by": "triton",
        "root": model.name,
        "parent": None if name == model.name else model.name,
        "max_model_len": model.max_model_len,
        "permission": [_permission(model)],
    }


def model_list(model: ServedModel) -> dict[str, Any]:
    return {"object": "list", "data": [model_card(model, name) for name in model.names]}


def _permission(model: ServedModel) -> dict[str, Any]:
    return {
        "id": f"modelperm-{uuid.uuid4().hex}",
        "object": "model_permission",
        "created": model.created,
        "allow_create_engine": False,
        "allow_sampling": True,
        "allow_logprobs": True,
        "allow_search_indices": False,
        "allow_view": True,
        "allow_fine_tuning": False,
        "organization": "*",
        "group": None,
        "is_blocking": False,
    }


def model_routes(triton: Triton) -> APIRouter:
    async def list_models() -> dict[str, Any]:
        return model_list(await triton.served_model())

    async def retrieve_model(model: str) -> dict[str, Any]:
        served = await triton.served_model()
        if model not in served.names:
            raise model_not_found(model)
        return model_card(served, model)

    router = APIRouter(prefix="/v1")
    add_json_route(router, "GET", "/models", list_models)
    # Model names hold slashes, as on Hugging Face.
    add_json_route(router, "GET", "/models/{model:path}", retrieve_model)
    return router
