"""Where Tritons listen: targets in the spelling of gRPC -> addresses, each of which is one server.

Each address gets a channel of its own: behind a name that stands for several servers it would be hidden which
of them runs a generation, where the stop request must go, and which holds the prefix of a prompt. A target
that says how it is meant (dns:///triton:8001, ipv4:10.0.0.7:8001, unix:/run/triton.sock) is one server.
"""

import asyncio
import ipaddress
import logging
import re
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

logger = logging.getLogger(__name__)

_HOST_AND_PORT = re.compile(r"(?P<host>[^:/\s\[\]]+|\[[0-9a-fA-F:.]+\]):(?P<port>\d{1,5})")

# gRPC's naming.md, without what asks a service.
_TARGET = re.compile(
    r"(dns:(//[^/]*/)?|ipv4:|ipv6:)?((?P<host>[^:/\s\[\]]+)|\[(?P<ipv6>[0-9a-fA-F:.]+)\]):(?P<port>\d{1,5})"
    r"|unix:(//)?(?P<path>/\S+)"
)


@dataclass(frozen=True, slots=True)
class Target:
    """A host and a port, or the path of a socket."""

    host: str = ""
    port: int = 0
    path: str = ""


def parse_target(text: str) -> Target | None:
    """HOST:PORT, dns:///HOST:PORT, ipv4:ADDRESS:PORT, ipv6:[ADDRESS]:PORT or unix:/PATH; None for others."""
    match = _TARGET.fullmatch(text)
    if match is None:
        return None
    if match["path"]:
        return Target(path=match["path"])
    port = int(match["port"])
    return Target(match["host"] or match["ipv6"], port) if 0 < port < 65536 else None


def is_host_and_port(text: str) -> bool:
    host_and_port = _HOST_AND_PORT.fullmatch(text)
    return host_and_port is not None and 0 < int(host_and_port["port"]) < 65536


Resolve: TypeAlias = Callable[[str, int], Awaitable[list[str]]]


class Name:
    """One target; remembers what it last resolved to."""

    def __init__(self, target: str, resolve: Resolve | None = None) -> None:
        self._target = target
        self._resolve = resolve or _resolve
        self._last: list[str] = []

    async def addresses(self) -> list[str]:
        """Of a name that can't be resolved now, those it had before."""
        host_and_port = _HOST_AND_PORT.fullmatch(self._target)
        if host_and_port is None or _is_address(host_and_port["host"]):
            return [self._target]
        try:
            self._last = await self._resolve(host_and_port["host"], int(host_and_port["port"]))
        except OSError as error:
            logger.warning("%s can't be resolved: %s", self._target, error)
        return self._last


async def _resolve(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [
        f"[{address[0]}]:{port}" if family == socket.AF_INET6 else f"{address[0]}:{port}"
        for family, _, _, _, address in found
    ]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
