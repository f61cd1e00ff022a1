"""The API's own description, OpenAPI 3.1, out of the models that requests are validated with.

Routes read and answer JSON by themselves; each says here with which model it reads.
"""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from frontend.errors import ANTHROPIC_PATH

KEY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}
# What is asked without a key.
OPEN_PATHS = ("/health",)

Schema = dict[str, Any]
_STRING_OR_NULL = {"type": ["string", "null"]}
ERROR: Schema = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": _STRING_OR_NULL,
                "code": _STRING_OR_NULL,
            },
        }
    },
}
ANTHROPIC_ERROR: Schema = {
    "type": "object",
    "required": ["type", "error", "request_id"],
    "properties": {
        "type": {"const": "error"},
        "error": {
            "type": "object",
            "required": ["type", "message"],
            "properties": {
                "type": {"type": "string"},
                "message": {"type": "string"},
                "details": {"type": "object"},
            },
        },
        "request_id": {"type": "string"},
    },
}
# Status -> when; in the form of Anthropic's API under its path or for clients that send anthropic-version.
_ALWAYS = {
    "405": "Another method.",
    "414": "A URL that is too long.",
    "431": "Headers that are too long.",
    "500": "The server failed.",
    "503": "No engine serves, or the server is shutting down.",
}
_WITH_KEY = {"401": "No valid key."}
_WITH_BODY = {
    "400": "A field that is wrong or not supported; `param` names it.",
    "404": "No such model.",
    "408": "The body did not come in time.",
    "413": "A body that is too large.",
    "415": "A body that is no JSON.",
    "429": "A limit of the key or of the server; Retry-After says when to come again.",
    "504": "The engine took too long.",
}


def add_json_route(
    router: APIRouter, method: str, path: str, endpoint: Any, body: type[BaseModel] | None = None
) -> None:
    router.add_api_route(
        path, endpoint, methods=[method], response_model=None, openapi_extra=_request_body(body)
    )


def _request_body(body: type[BaseModel] | None) -> Schema | None:
    if body is None:
        return None
    # With names of their own, as several APIs have a Message, until _hoisted_definitions moves them.
    schema = body.model_json_schema(ref_template=f"#/components/schemas/{body.__name__}.{{model}}")
    definitions = schema.pop("$defs", {})
    schema["$defs"] = {f"{body.__name__}.{name}": definition for name, definition in definitions.items()}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def describe(app: FastAPI) -> Schema:
    """Made at the first call; then the same."""
    if app.openapi_schema is None:
        description = get_openapi(title=app.title, version=app.version, routes=app.routes)
        components = description.setdefault("components", {})
        components["securitySchemes"] = KEY_SCHEMES
        components["schemas"] = {
            "Error": ERROR,
            "AnthropicError": ANTHROPIC_ERROR,
            **_hoisted_definitions(description),
        }
        description["security"] = [{name: []} for name in KEY_SCHEMES]
        for path, operations in description["paths"].items():
            for operation in operations.values():
                _describe_answers(path, operation)
        app.openapi_schema = description
    return app.openapi_schema


def _hoisted_definitions(description: Schema) -> Schema:
    """Takes out what the models of the bodies define, for all of them to refer to."""
    found: Schema = {}
    for path in description["paths"].values():
        for operation in path.values():
            found.update(_body_schema(operation).pop("$defs", {}))
    return found


def _body_schema(operation: Schema) -> Schema:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    schema: Schema = body.get("schema", {})
    return schema


def _describe_answers(path: str, operation: Schema) -> None:
    is_open = path.startswith(OPEN_PATHS)
    body = _body_schema(operation)
    statuses: Mapping[str, str] = {
        **_ALWAYS,
        **({} if is_open else _WITH_KEY),
        **(_WITH_BODY if body else {}),
        **({"404": "There is none."} if "{" in path or path == "/metrics/triton" else {}),
    }
    if "{model}" in path:
        named = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
        operation["parameters"] = [named]
    if is_open:
        operation["security"] = []
    answer = operation["responses"]["200"]
    if "stream" in body.get("properties", {}):
        answer["content"]["text/event-stream"] = {"schema": {"type": "string"}}
    operation["responses"] = {"200": answer} | {
        status: {"description": when, "content": {"application/json": {"schema": _error(path)}}}
        for status, when in sorted(statuses.items())
    }


def _error(path: str) -> Schema:
    anthropic = {"$ref": "#/components/schemas/AnthropicError"}
    if path.startswith(ANTHROPIC_PATH):
        return anthropic
    return {"anyOf": [{"$ref": "#/components/schemas/Error"}, anthropic]}
