"""uvicorn with our connections and our end: SIGTERM drains, a second one ends at once, exit code 0."""

import logging
import resource
import socket
import ssl
import time
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import cast

import uvicorn
from fastapi import FastAPI

from frontend.limits.drain import Drain
from frontend.limits.ledger import SharedLedger
from frontend.logs import WithoutQuery
from frontend.server.acceptor import Acceptor
from frontend.server.connection import ConnectionDeadlines, HttpConnection
from frontend.server.heartbeat import Heartbeat
from frontend.settings import Settings

# For what is still to be written once the grace time is over.
FINISH_S = 1
OWN_DESCRIPTORS = 256
# An idle one takes about 20 KB, and all are looked at when there is no room for one more.
MAX_CONNECTIONS = 2**14
# One: a logger takes the same filter only once.
WITHOUT_QUERY = WithoutQuery()


class Server(uvicorn.Server):
    """Serves until a signal; then as long as requests run, and at most for the grace time."""

    def __init__(
        self,
        config: uvicorn.Config,
        drain: Drain,
        settings: Settings,
        ledger: SharedLedger,
        heartbeat: Heartbeat,
    ) -> None:
        super().__init__(config)
        self._ledger = ledger
        self._heartbeat = heartbeat
        self._acceptors: list[Acceptor] = []
        self._drain = drain
        self._grace_s = settings.shutdown_grace_s
        self._ops_port = settings.ops_port
        self._drain_ends = 0.0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """The sockets are those that other workers accept from, too."""
        await super().startup([])
        connection = cast(Callable[..., HttpConnection], self.config.http_protocol_class)
        create = partial(connection, self.config, self.server_state, self.lifespan.state)
        connections = cast("set[HttpConnection]", self.server_state.connections)
        most = max_connections()
        self._acceptors = [
            Acceptor(it, self._ledger, create, self._tls(it), connections, most) for it in sockets or []
        ]

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for acceptor in self._acceptors:
            acceptor.close()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        if self._drain.is_begun:
            # uvicorn raises the signal again when it is done, so that the process ends by it.
            self._captured_signals.append(sig)
            self.should_exit = self.force_exit = True
            return
        self._drain_ends = time.monotonic() + self._grace_s
        self._drain.begin()

    async def on_tick(self, counter: int) -> bool:
        """Whether to shut down; asked ten times a second."""
        self._ledger.show_life()
        self._heartbeat.beat(self._ledger.num_running)
        self._ledger.show_connections(len(self.server_state.connections))
        if await super().on_tick(counter):
            return True
        if self._drain.is_begun and time.monotonic() >= self._drain_ends:
            self._drain.expire()
            return True
        return self._drain.is_begun and not self.server_state.tasks

    def _tls(self, listener: socket.socket) -> ssl.SSLContext | None:
        is_for_operations = listener.getsockname()[1] == self._ops_port
        return None if is_for_operations else self.config.ssl


def max_connections() -> int:
    """What descriptors allow, whose soft limit is raised for it; the rest is for Triton, logs and files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return min(MAX_CONNECTIONS, hard - min(OWN_DESCRIPTORS, hard // 2))


def create_server(
    settings: Settings,
    create_app: Callable[[Drain], FastAPI],
    ledger: SharedLedger,
    heartbeat: Heartbeat | None = None,
) -> Server:
    """A server of the application, which is created within its event loop; the ledger has its state."""
    logging.getLogger("uvicorn.access").addFilter(WITHOUT_QUERY)
    drain = Drain()
    deadlines = ConnectionDeadlines(settings.receive_timeout_s, settings.send_timeout_s)
    connection = partial(HttpConnection, deadlines=deadlines, metrics=ledger.metrics)
    config = uvicorn.Config(
        partial(create_app, drain),
        factory=True,
        host=settings.frontend_host,
        port=settings.frontend_port,
        # httptools takes headers of any size and requests without Host; h11 refuses both.
        http=cast(type[HttpConnection], connection),
        ws="none",
        loop="uvloop",
        log_config=None,
        access_log=settings.log_level == "debug",
        server_header=False,
        timeout_keep_alive=settings.idle_timeout_s,
        timeout_graceful_shutdown=FINISH_S,
        ssl_certfile=settings.tls_cert_file,
        ssl_keyfile=settings.tls_key_file,
    )
    return Server(config, drain, settings, ledger, heartbeat or Heartbeat.new())
