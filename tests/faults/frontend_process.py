"""`python -m frontend` as a process of its own, in front of the fake Triton in this one."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from tritonclient.grpc import service_pb2_grpc

from serving import ports
from tests.fakes.triton_server import FakeTriton
from tests.patience import wait_until

ROOT = Path(__file__).parents[2]
API_KEY = "fault-key"


@dataclass(frozen=True)
class Frontend:
    address: tuple[str, int]
    fake: FakeTriton
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.address[1]}"

    @property
    def rss_bytes(self) -> int:
        """Memory that the process holds."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def served_fake(fake: FakeTriton) -> Iterator[int]:
    """The fake's gRPC port, for as long as the context lasts."""
    started: list[int] = []
    is_up, is_over = threading.Event(), threading.Event()

    async def serve() -> None:
        server = grpc.aio.server()
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(fake, server)
        started.append(server.add_insecure_port("127.0.0.1:0"))
        await server.start()
        is_up.set()
        await asyncio.to_thread(is_over.wait)
        await server.stop(None)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    is_up.wait()
    try:
        yield started[0]
    finally:
        is_over.set()
        thread.join()


@contextmanager
def frontend_process(
    log: Path, command: Sequence[str] = ("-m", "frontend"), **settings: object
) -> Iterator[Frontend]:
    """A frontend that answers, with these settings; it is ended by SIGKILL if it still runs."""
    fake = FakeTriton()
    with served_fake(fake) as grpc_port:
        port = ports.free()
        variables = {
            "FRONTEND_PORT": port,
            "TRITON_GRPC_ADDRESSES": f"127.0.0.1:{grpc_port}",
            "API_KEYS": API_KEY,
            **{name.upper(): value for name, value in settings.items()},
        }
        environment = os.environ | {name: str(value) for name, value in variables.items()}
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, *command], cwd=ROOT, env=environment, stdout=output, stderr=output
            )
        try:
            frontend = Frontend(("127.0.0.1", port), fake, process, log)
            _wait_until_listening(frontend)
            yield frontend
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


def _wait_until_listening(frontend: Frontend) -> None:
    """The port listens before anybody is behind it, whom an answer or the end of a connection shows."""

    def answers() -> bool:
        assert frontend.process.poll() is None, frontend.log.read_text()
        try:
            with socket.create_connection(frontend.address, timeout=1) as probe:
                probe.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                probe.recv(1)
        except OSError:
            return False
        return True

    wait_until(answers, frontend.log.read_text)
