"""Puts the application together: routes, middleware, and the mapping of every exception to an answer."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect

from frontend.api.admission import Admission
from frontend.api.answer import Answers
from frontend.api.anthropic.routes import anthropic_routes
from frontend.api.chat.routes import chat_routes
from frontend.api.completions.routes import completion_routes
from frontend.api.health import VERSION, health_routes
from frontend.api.metrics import metrics_routes
from frontend.api.models import model_routes
from frontend.api.openapi import describe
from frontend.api.responses.routes import responses_routes
from frontend.api.sse import ClientDisconnected
from frontend.api.tokenize import tokenize_routes
from frontend.api.validation.url import nothing_at
from frontend.errors import (
    ApiError,
    EngineFailed,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    model_not_found,
    to_response,
)
from frontend.keys.key import ApiKey
from frontend.keys.ring import KeyRing
from frontend.limits.drain import Drain
from frontend.limits.gate import Gate
from frontend.limits.ledger import SharedLedger
from frontend.middleware.auth import Authentication
from frontend.middleware.body_limit import BodyLimit
from frontend.middleware.drain import RefuseWhileDraining
from frontend.middleware.head import HeadAsGet
from frontend.middleware.http_metrics import HttpMetrics
from frontend.middleware.request_id import RequestId
from frontend.page.routes import page_routes
from frontend.server.state_report import state_reported
from frontend.settings import Settings
from frontend.triton.triton import Triton

logger = logging.getLogger(__name__)

# nginx's status for a client that left; nobody reads it.
CLIENT_CLOSED_REQUEST = 499
# What SDKs read of an answer and a browser would hide.
EXPOSED_HEADERS = (
    *("x-request-id", "request-id", "retry-after", "retry-after-ms"),
    *(
        f"x-ratelimit-{what}-{of}"
        for what in ("limit", "remaining", "reset")
        for of in ("requests", "tokens")
    ),
)
# Seconds of silence after which a stream gets a comment: nginx and AWS's load balancer give up after 60.
SSE_KEEP_ALIVE_S = 15.0


def create_app(
    settings: Settings,
    triton: Triton,
    drain: Drain | None = None,
    ledger: SharedLedger | None = None,
    keep_alive_s: float = SSE_KEEP_ALIVE_S,
    keys: Iterable[ApiKey] | None = None,
) -> FastAPI:
    """The ASGI application; it starts and closes `triton`, and lets nobody in once it drains.

    Workers that serve together have a ledger in common, to which each is attached; one alone needs none.
    `keys` are those of before, for a worker that starts while their file can't be read.
    """
    ring = KeyRing(settings, keys)
    gate = Gate(ledger or SharedLedger(), settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
        triton.start()
        gate.open()
        following = asyncio.create_task(ring.keep_up_to_date())
        with state_reported(gate.ledger):
            yield
        following.cancel()
        gate.close()
        await triton.close()

    app = FastAPI(
        title="Llama on Triton",
        version=VERSION,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.openapi = partial(describe, app)  # type: ignore[method-assign]
    _add_routes(app, triton, settings, gate, keep_alive_s)
    _set_state(app, settings, triton)
    _map_exceptions(app)
    app.add_middleware(HeadAsGet)
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    app.add_middleware(RefuseWhileDraining, drain=drain or Drain())
    app.add_middleware(Authentication, keys=ring, ops_port=settings.ops_port)
    if settings.cors_origins:
        _let_pages_in(app, settings.cors_origins)
    app.add_middleware(RequestId)
    app.add_middleware(HttpMetrics, metrics=gate.ledger.metrics)
    return app


def _let_pages_in(app: FastAPI, origins: Sequence[str]) -> None:
    """Around the keys: what a browser asks before a request carries none, and it hides a 401 without CORS."""
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["GET", "POST"],
        allow_headers=["*"],
        expose_headers=EXPOSED_HEADERS,
    )


def _add_routes(app: FastAPI, triton: Triton, settings: Settings, gate: Gate, keep_alive_s: float) -> None:
    admission = Admission(triton, settings, gate)
    answers = Answers(triton, admission, keep_alive_s)
    for router in (
        chat_routes(answers),
        completion_routes(triton, admission, answers),
        responses_routes(triton, admission, answers),
        anthropic_routes(triton, admission, answers),
        model_routes(triton),
        tokenize_routes(triton, admission),
        health_routes(triton),
        page_routes(),
        metrics_routes(gate.ledger, triton, settings.triton_metrics_addresses),
    ):
        app.include_router(router)


def _set_state(app: FastAPI, settings: Settings, triton: Triton) -> None:
    app.state.refuses_unknown_fields = settings.refuse_unknown_fields
    app.state.logs_prompts = settings.log_prompts
    app.state.large_bodies = asyncio.Lock()
    app.state.triton = triton


def _map_exceptions(app: FastAPI) -> None:
    app.add_exception_handler(ApiError, _answer_api_error)
    app.add_exception_handler(HTTPException, _answer_http_exception)
    app.add_exception_handler(ClientDisconnected, _answer_nobody)
    app.add_exception_handler(ClientDisconnect, _answer_nobody)
    app.add_exception_handler(Exception, _answer_unexpected)


async def _answer_api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)  # noqa: S101 - registered for this class
    return to_response(_unknown_model(request) or error, request.scope)


def _unknown_model(request: Request) -> ApiError | None:
    """Goes before all else that is wrong with a body, as OpenAI has it."""
    name, known = getattr(request.state, "model", None), request.app.state.triton.model_names
    return model_not_found(name) if name is not None and known and name not in known else None


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
    return to_response(_from_http_exception(request, error), request.scope, error.headers)


def _from_http_exception(request: Request, error: HTTPException) -> ApiError:
    if error.status_code == NotFound.status:
        return nothing_at(request.scope["path"], request.app.openapi()["paths"])
    if error.status_code == MethodNotAllowed.status:
        allowed = (error.headers or {}).get("Allow", "another method")
        return MethodNotAllowed(
            f"{request.method} is not allowed at {request.scope['path'][:200]}: send {allowed}."
        )
    if error.status_code < EngineFailed.status:
        return InvalidRequest("The request can't be read.")
    return EngineFailed("The server failed to process the request.")


async def _answer_nobody(_: Request, __: Exception) -> Response:
    return Response(status_code=CLIENT_CLOSED_REQUEST)


async def _answer_unexpected(request: Request, error: Exception) -> Response:
    logger.error("unexpected failure", exc_info=error)
    return to_response(EngineFailed("The server failed to process the request."), request.scope)
