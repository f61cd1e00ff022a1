"""/version: which version of this software answers."""

from fastapi import APIRouter

VERSION = "0.1.0"


def version_routes() -> APIRouter:
    router = APIRouter()

    @router.get("/version")
    async def version() -> dict[str, str]:
        return {"version": VERSION}

    return router
