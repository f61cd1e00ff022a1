"""Targets as an operator writes them -> addresses, each of which is one server.

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
from typing import TypeAlias

logger = logging.getLogger(__name__)

_HOST_AND_PORT = re.compile(r"(?P<host>[^:/\s\[\]]+|\[[0-9a-fA-F:.]+\]):(?P<port>\d{1,5})")


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
