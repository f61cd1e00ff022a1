"""Takes connections from the socket that all workers share, so that each gets about as many.

Left to themselves, the worker whose event loop turns first takes most of what comes at once: of 64 streams
four workers had 52, 7, 3 and 2 (docs/performance.md).
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Collection
from typing import Protocol

from frontend.server.connection import HttpConnection

logger = logging.getLogger(__name__)

# For a worker with fewer connections to take what waits; those behind it wait no longer than that.
HOLD_BACK_S = 0.002
# After a failure, for want of files or memory above all: what waits would call again at once.
RETRY_S = 1.0
TELL_EVERY_S = 10.0


class Share(Protocol):
    """What the workers know of each other."""

    def show_connections(self, num_connections: int) -> None: ...

    def is_ahead(self) -> bool:
        """Whether another worker, one whose event loop turns, has fewer connections."""


class Acceptor:
    """Runs on the event loop it is made in, until it is closed; the listener stays open."""

    def __init__(
        self,
        listener: socket.socket,
        share: Share,
        create_protocol: Callable[[], asyncio.Protocol],
        tls: ssl.SSLContext | None,
        connections: Collection[HttpConnection],
        max_connections: int,
    ) -> None:
        """`connections`: the protocols of those that are made and not yet lost, as they are at any time."""
        self._max_connections = max_connections
        self._told_full_at = 0.0
        listener.setblocking(False)
        self._listener = listener
        self._share = share
        self._create_protocol = create_protocol
        self._tls = tls
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._coming: dict[asyncio.Protocol, asyncio.Task[None]] = {}
        self._pause: asyncio.TimerHandle | None = None
        self._listen()

    def close(self) -> None:
        """Takes no further connection."""
        self._loop.remove_reader(self._listener)
        if self._pause is not None:
            self._pause.cancel()

    def _listen(self) -> None:
        self._loop.add_reader(self._listener, self._take_share)

    def _take_share(self) -> None:
        self._show()
        if self._share.is_ahead():
            self._pause_for(HOLD_BACK_S, self._take_and_listen)
        else:
            self._take()

    def _take_and_listen(self) -> None:
        self._listen()
        self._take()

    def _pause_for(self, seconds: float, then: Callable[[], None]) -> None:
        self._loop.remove_reader(self._listener)
        self._pause = self._loop.call_later(seconds, then)

    def _take(self) -> None:
        try:
            client, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            # Another worker was faster, or the client has left.
            return
        except OSError as error:
            self._make_room()
            logger.error("no connection can be taken for %g s: %s", RETRY_S, error)
            self._pause_for(RETRY_S, self._listen)
            return
        if not self._make_room():
            client.close()
            return
        client.setblocking(False)
        protocol = self._create_protocol()
        self._coming[protocol] = self._loop.create_task(self._connect(client, protocol))
        self._show()

    def _make_room(self) -> bool:
        """Ends the connection that has been quiet for longest, where there is no room for one more."""
        if len(self._connections) < self._max_connections:
            return True
        quiet = [connection for connection in self._connections if connection.is_quiet]
        if self._loop.time() - self._told_full_at > TELL_EVERY_S:
            self._told_full_at = self._loop.time()
            logger.warning(
                "%d connections take all descriptors: of %d quiet ones the oldest are ended",
                *(len(self._connections), len(quiet)),
            )
        if not quiet:
            return False
        min(quiet, key=lambda connection: connection.quiet_since).transport.abort()
        return True

    async def _connect(self, client: socket.socket, protocol: asyncio.Protocol) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: protocol, client, ssl=self._tls)
        except (OSError, asyncio.TimeoutError) as error:
            logger.debug("a client left before its connection was made: %r", error)
        finally:
            del self._coming[protocol]

    def _show(self) -> None:
        num_coming = sum(protocol not in self._connections for protocol in self._coming)
        self._share.show_connections(len(self._connections) + num_coming)
