"""/health and /version: what probes and operators ask."""

from fastapi import APIRouter

from frontend.errors import EngineUnavailable
from frontend.triton.triton import Triton

VERSION = "0.1.0"


def health_routes(triton: Triton) -> APIRouter:
    """/health is open to everybody, for probes; /version takes a key."""
    router = APIRouter()

    @router.get("/health/live")
    async def live() -> dict[str, str]:
        return {"status": "live"}

    # What the launchers of vLLM's, SGLang's, TensorRT-LLM's and llama.cpp's test suites wait for.
    @router.get("/health")
    @router.get("/health/ready")
    async def ready() -> dict[str, str]:
        if not await triton.is_ready():
            raise EngineUnavailable("The model is not ready.")
        return {"status": "ready"}

    @router.get("/version")
    async def version() -> dict[str, str]:
        return {"version": VERSION}

    return router
