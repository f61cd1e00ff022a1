"""Several worker processes behind one socket: forked by a parent that watches them and passes signals on."""

import ctypes
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from ipaddress import ip_address
from typing import NoReturn

from frontend.limits.ledger import SharedLedger
from frontend.server.heartbeat import Heartbeat
from frontend.settings import Settings
from frontend.settings_file import SettingsError

logger = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1
BACKLOG = 2048
# A worker that dies sooner than this is not started again before it has passed.
MIN_LIFE_S = 1.0
LOOK_INTERVAL_S = 1.0
# An event loop shows life ten times a second; the heaviest body holds it up for a tenth of one. The rest is
# for machines that are busy and for pauses of up to 20 s: a worker that is killed takes its streams with it.
SILENCE_S = 30.0
# Who was not awake for so long was stopped himself, with all that he watches: a frozen container, a laptop
# that slept.
NAP_S = 5.0
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_SIGNALS = (*_STOP_SIGNALS, signal.SIGCHLD, signal.SIGUSR1)


def listening_sockets(settings: Settings) -> list[socket.socket]:
    """Those that all workers accept from, each its share (acceptor.py): the API's and the operations' port.

    Raises SettingsError: one can't be had.
    """
    sockets = []
    for name, port in (("FRONTEND_PORT", settings.frontend_port), ("OPS_PORT", settings.ops_port)):
        if port is None:
            continue
        try:
            sockets.append(_listen(settings.frontend_host, port))
        except OSError as error:
            raise SettingsError(f"FRONTEND_HOST, {name}: {error}") from error
        logger.info("listening on %s:%d", settings.frontend_host, port)
    return sockets


def _listen(host: str, port: int) -> socket.socket:
    try:
        is_ipv6 = ip_address(host).version == 6
    except ValueError:
        is_ipv6 = False
    family = socket.AF_INET6 if is_ipv6 else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


class Workers:
    """The parent's view; it does nothing but wait, and holds no thread, event loop or channel to fork."""

    def __init__(
        self, settings: Settings, ledger: SharedLedger, work: Callable[[], None], heartbeat: Heartbeat
    ) -> None:
        """`work` is what a worker does, which ends with it; `heartbeat` is this process's own."""
        self._heartbeat = heartbeat
        self._tended_at = time.monotonic()
        self._awake_since = 0.0
        self._ledger = ledger
        self._work = work
        self._pids: dict[int, int] = {}
        """Of the workers that live, by pid: their index."""
        self._started_at = [0.0] * settings.workers
        self._stop_signals: list[signal.Signals] = []

    def run(self) -> None:
        """Returns when all workers have drained; after a second signal the process ends by that one."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        while self._pids or not self._stop_signals:
            self._tend()
            received = signal.sigtimedwait(_SIGNALS, LOOK_INTERVAL_S)
            # Interrupted by a stop and its end, it returns what nobody sent (CPython 3.11).
            if received is not None and received.si_signo in _SIGNALS:
                self._pass_on(signal.Signals(received.si_signo))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        if len(self._stop_signals) > 1:
            signal.signal(self._stop_signals[-1], signal.SIG_DFL)
            signal.raise_signal(self._stop_signals[-1])

    def _tend(self) -> None:
        self._bury()
        self._heartbeat.beat(self._ledger.num_running)
        if self._stop_signals:
            return
        now = time.monotonic()
        if now - self._tended_at > NAP_S:
            self._awake_since = now
        self._tended_at = now
        for pid, worker in self._pids.items():
            last_sign = max(
                self._started_at[worker], self._ledger.last_sign_of_life(worker), self._awake_since
            )
            if now - last_sign > SILENCE_S:
                logger.error(
                    "worker %d (process %d) is killed: its event loop has not turned for %.0f s; "
                    "%d generations were running",
                    *(worker, pid, now - last_sign, self._ledger.running[worker].sum()),
                )
                os.kill(pid, signal.SIGKILL)
        for worker in set(range(len(self._started_at))).difference(self._pids.values()):
            if now - self._started_at[worker] >= MIN_LIFE_S:
                self._start(worker)

    def _bury(self) -> None:
        """Takes note of workers that have ended, and gives back what they held."""
        while self._pids:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            worker = self._pids.pop(pid)
            self._ledger.give_back(worker)
            if not self._stop_signals:
                code = os.waitstatus_to_exitcode(status)
                logger.error("worker %d (process %d) ended with %d and is started again", worker, pid, code)

    def _start(self, worker: int) -> None:
        self._started_at[worker] = time.monotonic()
        parent = os.getpid()
        pid = os.fork()
        if not pid:
            self._become_worker(worker, parent)
        self._pids[pid] = worker

    def _become_worker(self, worker: int, parent: int) -> NoReturn:
        code = 1
        try:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)
            # A terminal's Ctrl-C reaches parent and workers; those hear of it from the parent, as SIGTERM.
            signal.pthread_sigmask(signal.SIG_UNBLOCK, set(_SIGNALS) - {signal.SIGINT})
            self._ledger.attach(worker)
            self._work()
            code = 0
        except SystemExit as exit_:
            code = exit_.code if isinstance(exit_.code, int) else 1
        except BaseException:
            logger.exception("worker %d failed", worker)
        finally:
            # Not through the parent's stack.
            os._exit(code)

    def _pass_on(self, received: signal.Signals) -> None:
        if received is signal.SIGCHLD:
            return
        if received in _STOP_SIGNALS:
            self._stop_signals.append(received)
        passed_on = signal.SIGTERM if received in _STOP_SIGNALS else received
        for pid in self._pids:
            os.kill(pid, passed_on)
