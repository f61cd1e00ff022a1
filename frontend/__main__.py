"""`python -m frontend`: settings -> workers, if there are several -> application -> uvicorn."""

import gc
import os
import signal
import sys
from collections.abc import Sequence

import uvicorn
from fastapi import FastAPI

from frontend.app import create_app
from frontend.keys.key import ApiKey
from frontend.limits.drain import Drain
from frontend.limits.ledger import SharedLedger
from frontend.logs import configure_logging
from frontend.server.heartbeat import Heartbeat
from frontend.server.server import create_server
from frontend.server.workers import Workers, listening_sockets
from frontend.settings import Settings, read_settings
from frontend.settings_file import SettingsError
from frontend.triton.running_ids import RunningIds, inherited_memory
from frontend.triton.triton import Triton


def main() -> None:
    # By default it would end a process that has no state to report yet.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        settings = read_settings()
        keys = settings.read_keys()
    except SettingsError as error:
        sys.exit(f"error: {error}")
    configure_logging(settings.log_level)
    ledger = SharedLedger(settings.workers)
    try:
        listeners = listening_sockets(settings)
    except SettingsError as error:
        sys.exit(f"error: {error}")

    heartbeat = Heartbeat.inherited(os.environ)
    running = inherited_memory(os.environ)

    def serve() -> None:
        # Of several workers the parent shows life, who watches them.
        own = heartbeat if settings.workers == 1 else Heartbeat.new()
        triton = Triton(settings, RunningIds(running, ledger.worker))
        _server(settings, keys, ledger, triton, own).run(sockets=listeners)

    if settings.workers == 1:
        serve()
    else:
        Workers(settings, ledger, serve, heartbeat).run()


def _server(
    settings: Settings, keys: Sequence[ApiKey], ledger: SharedLedger, triton: Triton, heartbeat: Heartbeat
) -> uvicorn.Server:
    def application(drain: Drain) -> FastAPI:
        app = create_app(settings, triton, drain, ledger, keys=keys)
        # What is there now stays for ever: a look for garbage in all of it would hold every stream up.
        gc.collect()
        gc.freeze()
        return app

    return create_server(settings, application, ledger, heartbeat)


if __name__ == "__main__":
    main()
