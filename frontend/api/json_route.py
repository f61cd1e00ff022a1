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
    # With names of their own, as several APIs have a Message, until frontend/openapi.py moves them.
    schema = body.model_json_schema(ref_template=f"#/components/schemas/{body.__name__}.{{model}}")
    definitions = schema.pop("$defs", {})
    schema["$defs"] = {f"{body.__name__}.{name}": definition for name, definition in definitions.items()}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
