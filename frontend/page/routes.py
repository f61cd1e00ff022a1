"""The pages for a person, at `/` (with its state at `/status`) and `/docs`; each is one file."""

import base64
import hashlib
import re
from pathlib import Path

from fastapi import APIRouter, Response

_FOLDER = Path(__file__).parent
# The chat and the state are one page, which shows the one or the other by its address.
_PAGES = {"/": "chat.html", "/status": "chat.html", "/docs": "docs.html"}
# Whoever has read a page has all that it may run, and what a model writes is never read as HTML.
_POLICY = (
    "default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)


def page_routes() -> APIRouter:
    """Open to everybody: a page asks for a key, and has none."""
    router = APIRouter(include_in_schema=False)
    for path, name in _PAGES.items():
        router.add_api_route(path, _Page(_FOLDER / name), methods=["GET"], response_model=None)
    return router


class _Page:
    def __init__(self, path: Path) -> None:
        self._content = path.read_bytes()
        policy = _POLICY.format(script=self._source("script"), style=self._source("style"))
        self._headers = {
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-cache",
        }

    async def __call__(self) -> Response:
        return Response(self._content, media_type="text/html", headers=self._headers)

    def _source(self, element: str) -> str:
        """The element's text as a policy names it, which lets nothing else of its kind in."""
        (text,) = re.findall(rf"<{element}>(.*?)</{element}>".encode(), self._content, re.DOTALL)
        return f"'sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}'"
