"""Routes that read and answer JSON by themselves, with the schema of their body for the description."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel


def add_json_route(
    router: APIRouter, method: str, path: str, endpoint: Any, body: type[BaseModel] | None = None
) -> None:
    router.add_api_route(
        path, endpoint, methods=[method], response_model=None, openapi_extra=_request_body(body)
    )


def _request_body(body: type[BaseModel] | None) -> dict[str, Any] | None:
    if body is None:
        return None
    return {"requestBody": {"content": {"application/json": {"schema": body.model_json_schema()}}}}
