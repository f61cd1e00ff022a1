"""The model list, with the keys and their order of the Lambda Chat API."""

import uuid
from typing import Any

from frontend.served_model import ServedModel


def model_card(model: ServedModel) -> dict[str, Any]:
    return {
        "id": model.name,
        "object": "model",
        "created": model.created,
        "owned_by": "triton",
        "root": model.name,
        "parent": None,
        "max_model_len": model.max_model_len,
        "permission": [_permission(model)],
    }


def model_list(model: ServedModel) -> dict[str, Any]:
    return {"object": "list", "data": [model_card(model)]}


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
