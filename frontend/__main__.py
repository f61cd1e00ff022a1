"""`python -m frontend`: settings -> application -> uvicorn."""

import sys

import uvicorn

from frontend.app import create_app
from frontend.logs import configure_logging
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
    def app_factory() -> object:
        return create_app(settings, Triton(settings.triton_grpc_address, settings.triton_model))

    config = uvicorn.Config(
        app_factory,
        factory=True,
        host=settings.frontend_host,
        port=settings.frontend_port,
        # httptools takes headers of any size and requests without Host; h11 refuses both.
        http="h11",
        loop="uvloop",
        log_config=None,
        access_log=settings.log_level == "debug",
        server_header=False,
        timeout_graceful_shutdown=settings.shutdown_grace_s,
    )
    return uvicorn.Server(config)


if __name__ == "__main__":
    main()
