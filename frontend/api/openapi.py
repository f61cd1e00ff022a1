"""The API's own description, OpenAPI 3.1, out of the models that requests are validated with."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from frontend.api.version import VERSION

KEY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}


def describe(app: FastAPI) -> dict[str, Any]:
    """Made at the first call; then the same."""
    if app.openapi_schema is None:
        description = get_openapi(title=app.title, version=VERSION, routes=app.routes)
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
