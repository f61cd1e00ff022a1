"""`python -m frontend`: settings -> application -> uvicorn."""

import sys

import uvicorn
from fastapi import FastAPI

from frontend.app import create_app
from frontend.drain import Drain
from frontend.logs import configure_logging
from frontend.server import create_server
from frontend.settings import Settings, SettingsError, read_settings
from frontend.triton import Triton


def main() -> None:
    try:
        settings = read_settings()
        settings.read_keys()
    except SettingsError as error:
        sys.exit(f"error: {error}")
    configure_logging(settings.log_level)
    _server(settings).run()


def _server(settings: Settings) -> uvicorn.Server:
    def application(drain: Drain) -> FastAPI:
        return create_app(settings, Triton(settings), drain)

    return create_server(settings, application)


if __name__ == "__main__":
    main()
