"""Tries a guide in a process that may be killed: llguidance bounds neither its time nor its memory."""

import os
import socket
import subprocess
import sys
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from threading import Lock

from contract.tensors import InvalidInput
from sampling.logit_edits import LogitEdit

from guides.answer_guide import GUIDE_INPUT, Guide, GuideCompiler

_PROGRAM = Path(__file__).with_name("trial_process.py")
# Many times what a trial needs on cores that are busy.
_SILENCE_S = 30
# Guides that have passed, of 64 KiB each at most: clients send the same ones again and again.
_NUM_KNOWN = 256

TOO_LARGE = "takes more than a second of computing, or more memory than a guide may have"


class TriedGuides:
    """As GuideCompiler. The process for trials has the tokenizer in memory, and forks for each guide."""

    def __init__(self, tokenizer_json: Path, vocab_size: int) -> None:
        self._compiler = GuideCompiler(tokenizer_json, vocab_size)
        self._arguments = [str(tokenizer_json), str(vocab_size)]
        self._require = lru_cache(_NUM_KNOWN)(self._require_modest)
        self._starting = Lock()
        self._start()

    def compile(self, guide: Guide, end_ids: Collection[int]) -> LogitEdit:
        """Raises InvalidInput, also for a guide that costs too much."""
        self._require(guide)
        return self._compiler.compile(guide, end_ids)

    def close(self) -> None:
        self._server.close()
        self._process.wait()

    def _require_modest(self, guide: Guide) -> None:
        process = self._process
        try:
            passes = self._passes(guide)
        except OSError:
            self._restart(process)
            passes = self._passes(guide)
        if not passes:
            raise InvalidInput(GUIDE_INPUT, f"can't be compiled: it {TOO_LARGE}.")

    def _passes(self, guide: Guide) -> bool:
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                socket.send_fds(self._server, [b"\0"], [theirs.fileno()])
            ours.settimeout(_SILENCE_S)
            ours.sendall(f"{guide.type}\n{guide.text}".encode())
            ours.shutdown(socket.SHUT_WR)
            return ours.recv(1) != b""

    def _restart(self, failed: subprocess.Popen[bytes]) -> None:
        """Somebody killed it."""
        with self._starting:
            if self._process is failed:
                failed.kill()
                self.close()
                self._start()

    def _start(self) -> None:
        self._server, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(_PROGRAM), *self._arguments],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": str(_PROGRAM.parent.parent)},
            )
