"""Compiles the guides that guide_trials.py sends, each in a process that the kernel ends at its limits."""

import os
import resource
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

from contract.tensors import InvalidInput

from guides.answer_guide import Guide, GuideCompiler

# The largest guides of use, a thousand rules or members, take most of a second.
COMPUTING_S = 1
MEMORY_BYTES = 512 * 1024**2


def _serve(compiler: GuideCompiler, server: socket.socket) -> None:
    """Returns when the engine is gone."""
    while descriptors := socket.recv_fds(server, 1, 1)[1]:
        with socket.socket(fileno=descriptors[0]) as asked:
            if os.fork() == 0:
                server.close()
                _try(compiler, asked)


def _try(compiler: GuideCompiler, asked: socket.socket) -> None:
    """Answers with a byte, or ends without one."""
    with asked.makefile("rb") as request:
        guide_type, _, text = request.read().decode().partition("\n")
    _limit()
    # The engine finds the same, and tells it.
    with suppress(InvalidInput):
        compiler.compile(Guide(guide_type, text), [])
    asked.sendall(b"\0")
    os._exit(0)


def _limit() -> None:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    most = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (COMPUTING_S, COMPUTING_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # What Rust says of memory that it does not get.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def main(tokenizer_json: str, vocab_size: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Nobody asks how a trial ended.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(fileno=os.dup(0)) as server:
        _serve(GuideCompiler(Path(tokenizer_json), int(vocab_size)), server)


if __name__ == "__main__":
    main(*sys.argv[1:])
