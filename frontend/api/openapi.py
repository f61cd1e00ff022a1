"""The API's own description, OpenAPI 3.1, out of the models that requests are validated with.

Routes read and answer JSON by themselves; each says here with which model it reads.
"""

from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

KEY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}


def add_json_route(
    router: APIRouter, method: str, path: str, endpoint: Any, body: type[BaseModel] | None = None
) -> None:
    router.add_api_route(
        path, endpoint, methods=[method], response_model=None, openapi_extra=_request_body(body)
    )


def _request_body(body: type[BaseModel] | None) -> dict[str, Any] | None:
    if body is None:
        return None
    # With names of their own, as several APIs have a Message, until _hoisted_definitions moves them.
    schema = body.model_json_schema(ref_template=f"#/components/schemas/{body.__name__}.{{model}}")
    definitions = schema.pop("$defs", {})
    schema["$defs"] = {f"{body.__name__}.{name}": definition for name, definition in definitions.items()}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def describe(app: FastAPI) -> dict[str, Any]:
    """Made at the first call; then the same."""
    if app.openapi_schema is None:
        description = get_openapi(title=app.title, version=app.version, routes=app.routes)
        components = description.setdefault("components", {})
        components["securitySchemes"] = KEY_SCHEMES
        components.setdefault("schemas", {}).update(_hoisted_definitions(description))
        description["security"] = [{name: []} for name in KEY_SCHEMES]
        app.openapi_schema = description
    return app.openapi_schema


def _hoisted_definitions(description: dict[str, Any]) -> dict[str, Any]:
    """Takes out what the models of the bodies define, for all of them to refer to."""
    found: dict[str, Any] = {}
    for path in description["paths"].values():
        for operation in path.values():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            found.update(body.get("schema", {}).pop("$defs", {}))
    return found
