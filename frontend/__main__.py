"""`python -m frontend`: settings -> workers, if there are several -> application -> uvicorn."""

import gc
import os
import signal
import sys

import uvicorn
from fastapi import FastAPI

from frontend.app import create_app
from frontend.limits.drain import Drain
from frontend.limits.ledger import SharedLedger
from frontend.logs import configure_logging
from frontend.server.heartbeat import Heartbeat
from frontend.server.server import create_server
from frontend.server.workers import Workers, listening_sockets
from frontend.settings import Settings, read_settings
from frontend.settings_file import SettingsError
from frontend.triton.triton import Triton


def main() -> None:
    # By default it would end a process that has no state to report yet.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        settings = read_settings()
        settings.read_keys()
    except SettingsError as error:
        sys.exit(f"error: {error}")
    configure_logging(settings.log_level)
    ledger = SharedLedger(settings.workers)
    try:
        listeners = listening_sockets(settings)
    except SettingsError as error:
        sys.exit(f"error: {error}")

    heartbeat = Heartbeat.inherited(os.environ)

    def serve() -> None:
        # Of several workers the parent shows life, who watches them.
        _server(settings, ledger, heartbeat if settings.workers == 1 else Heartbeat.new()).run(
            sockets=listeners
        )

    if settings.workers == 1:
        serve()
    else:
        Workers(settings, ledger, serve, heartbeat).run()


def _server(settings: Settings, ledger: SharedLedger, heartbeat: Heartbeat) -> uvicorn.Server:
    def application(drain: Drain) -> FastAPI:
        app = create_app(settings, Triton(settings), drain, ledger)
        # What is there now stays for ever: a look for garbage in all of it would hold every stream up.
        gc.collect()
        gc.freeze()
        return app

    return create_server(settings, application, ledger, heartbeat)


if __name__ == "__main__":
    main()
