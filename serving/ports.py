"""Port numbers: read from the environment and tried before anything is started."""

import errno
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from build.errors import Failure

HIGHEST = 65535
# Linux gives none of these to who asks for just any, so that one stays free until it is listened on.
NEVER_GIVEN = range(15_000, 30_000)


def parse(variable: str, text: str) -> int:
    """The port that the variable's text names."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= HIGHEST):
        raise Failure(f"{variable}={text} is not a port: give a number from 1 to {HIGHEST}")
    return int(text)


def require_free(variable: str, host: str, port: int) -> None:
    """Fails with a sentence that names the variable when nothing can listen on the port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As the servers do, so that connections left over from a stopped one do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Failure(_sentence(variable, host, port, error)) from error


@contextmanager
def claimed(variables: Mapping[str, int]) -> Iterator[None]:
    """Keeps other servers of this project off the ports from before anything is started until all has ended.

    By names of Linux's own, which end with their process: between a look at a port and a server that listens
    on it lies the time to load a model.
    """
    with ExitStack() as claims:
        for variable, port in variables.items():
            claim = claims.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            try:
                claim.bind(f"\0triton-llama-port-{port}")
            except OSError as error:
                raise Failure(
                    f"another server of this machine has taken port {port}, and is starting or stopping; "
                    f"choose another, for example {variable}={_another(port)}"
                ) from error
        yield


def free() -> int:
    """A port of the loopback interface that nothing listens on."""
    while True:
        port = secrets.choice(NEVER_GIVEN)
        try:
            require_free("", "127.0.0.1", port)
        except Failure:
            continue
        return port


def _sentence(variable: str, host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is taken; choose another, for example {variable}={_another(port)}"
    return f"nothing can listen on {host}:{port} ({error.strerror}); choose another {variable}"


def _another(port: int) -> int:
    return port + 1000 if port + 1000 <= HIGHEST else port - 1000
