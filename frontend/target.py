"""Where a gRPC server listens, in gRPC's own spelling (naming.md there, without what asks a service)."""

import re
from dataclasses import dataclass

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
