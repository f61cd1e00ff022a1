"""The model list, with the keys and their order of the Lambda Chat API."""

import uuid
from datetime import datetime, timezone
from typing import Any

from fastapi import APIRouter, Request

from frontend.api.openapi import add_json_route
from frontend.errors import model_not_found, speaks_anthropic
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


def anthropic_card(model: ServedModel, name: str) -> dict[str, Any]:
    """The same for Anthropic's clients."""
    created = datetime.fromtimestamp(model.created, timezone.utc)
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": created.isoformat().replace("+00:00", "Z"),
        "max_input_tokens": model.max_model_len,
        "max_tokens": model.max_model_len,
        "capabilities": None,
    }


def anthropic_list(model: ServedModel) -> dict[str, Any]:
    """All on one page."""
    return {
        "data": [anthropic_card(model, name) for name in model.names],
        "has_more": False,
        "first_id": model.names[0],
        "last_id": model.names[-1],
    }


def model_routes(triton: Triton) -> APIRouter:
    async def list_models(request: Request) -> dict[str, Any]:
        to_list = anthropic_list if speaks_anthropic(request.scope) else model_list
        return to_list(await triton.served_model())

    async def retrieve_model(request: Request) -> dict[str, Any]:
        name = request.path_params["model"]
        served = await triton.served_model()
        if name not in served.names:
            raise model_not_found(name)
        to_card = anthropic_card if speaks_anthropic(request.scope) else model_card
        return to_card(served, name)

    router = APIRouter(prefix="/v1")
    add_json_route(router, "GET", "/models", list_models)
    # Model names hold slashes, as on Hugging Face.
    add_json_route(router, "GET", "/models/{model:path}", retrieve_model)
    return router
