"""The model list, with the keys and their order of the Lambda Chat API."""

import uuid
from typing import Any

from frontend.triton.model import ServedModel


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
