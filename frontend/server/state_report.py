"""What is in flight, as a line in the log on SIGUSR1: for operators, and for `make soak`."""

import asyncio
import gc
import json
import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from frontend.grpc_client.connection import GrpcConnection
from frontend.limits.ledger import SharedLedger

logger = logging.getLogger(__name__)


@contextmanager
def state_reported(ledger: SharedLedger) -> Iterator[None]:
    """SIGUSR1 is answered within this context, if the event loop is that of the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, _report, ledger)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGUSR1)


def _report(ledger: SharedLedger) -> None:
    logger.warning("state of worker %d: %s", ledger.worker, json.dumps(_state(ledger)))


def _state(ledger: SharedLedger) -> dict[str, int]:
    gc.collect()
    connections = [found for found in gc.get_objects() if isinstance(found, GrpcConnection)]
    with ledger.locked():
        running, waiting = (int(table[ledger.worker].sum()) for table in (ledger.running, ledger.waiting))
    return {
        "tasks": len(asyncio.all_tasks()),
        "calls": sum(connection.num_calls for connection in connections),
        "running": running,
        "waiting": waiting,
    }
