"""What `make serve` is told by its variables, checked before anything is started."""

import math
import os
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass

from build.errors import Failure
from frontend.settings import NAMES, checked_settings
from frontend.settings_file import VARIABLE, SettingsError, read_settings_file
from serving import ports

LOOPBACK = "127.0.0.1"
# Every model answers a short question at once; a megabyte of text keeps preprocess busy for a second.
TRITON_SILENCE_S = 60.0
# A full engine makes a request wait for a whole generation, so waiting looks like hanging for long.
GENERATION_SILENCE_S = 300.0
# Twice the interval of the probes: with less, one that comes late would look like silence.
SHORTEST_SILENCE_S = 10.0
# What read() passes on to the frontend, and what make's variables of the same meaning are called.
DERIVED = {"FRONTEND_HOST", "FRONTEND_PORT", "TRITON_GRPC_ADDRESSES", "TRITON_METRICS_ADDRESSES"}
OF_SERVERS = {"HOST", "PORT", "TRITON_GRPC_PORT", "TRITON_METRICS_PORT", "GENERATION_SILENCE_S"}
OF_ENGINES = {"MODEL", "NAME", "PRECISION", "TODAY_DATE"}
OF_REPLAY = {"ENGINE", "TOKENS_PER_SECOND", "JITTER", "TOKENS_PER_RESPONSE", "ANSWER_LENGTH"}
# An address to listen on, and the one to reach it by.
WILDCARDS = {"0.0.0.0": LOOPBACK, "::": "::1"}  # noqa: S104


@dataclass(frozen=True)
class ServeSettings:
    """Addresses of the two servers, and what the frontend's own settings say."""

    host: str
    port: int
    grpc_port: int
    metrics_port: int
    """Of Triton's own metrics."""
    has_keys: bool
    shutdown_grace_s: int
    has_tls: bool = False
    triton_silence_s: float = TRITON_SILENCE_S
    """Seconds without an answer of every model after which tritonserver counts as hung."""
    generation_silence_s: float = GENERATION_SILENCE_S
    """Seconds in which no generation of one token came through, after which it counts as hung, too."""

    @property
    def reachable_host(self) -> str:
        """The host by which this machine reaches the frontend."""
        return WILDCARDS.get(self.host, self.host)

    @property
    def url(self) -> str:
        """Base URL of the frontend, as seen from this machine."""
        host = f"[{self.reachable_host}]" if ":" in self.reachable_host else self.reachable_host
        return f"{'https' if self.has_tls else 'http'}://{host}:{self.port}"

    @property
    def grpc_address(self) -> str:
        return f"{LOOPBACK}:{self.grpc_port}"

    @property
    def metrics_address(self) -> str:
        return f"{LOOPBACK}:{self.metrics_port}"

    @property
    def ports(self) -> dict[str, int]:
        """By the name of the variable that chooses it."""
        return {
            "PORT": self.port,
            "TRITON_GRPC_PORT": self.grpc_port,
            "TRITON_METRICS_PORT": self.metrics_port,
        }

    def require_free_ports(self) -> None:
        """Fails with a sentence that names the variable of a taken port."""
        if self.port == self.grpc_port:
            raise Failure(f"PORT and TRITON_GRPC_PORT are both {self.port}; they must differ")
        ports.require_free("PORT", self.host, self.port)
        ports.require_free("TRITON_GRPC_PORT", LOOPBACK, self.grpc_port)
        if self.metrics_port in (self.port, self.grpc_port):
            raise Failure(f"TRITON_METRICS_PORT={self.metrics_port} is another server's port")
        ports.require_free("TRITON_METRICS_PORT", LOOPBACK, self.metrics_port)


def without_keys(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that needs no keys of the API."""
    return {name: value for name, value in variables.items() if name not in ("API_KEYS", "API_KEYS_FILE")}


def complete(variables: MutableMapping[str, str]) -> None:
    """Adds what the settings file says and the variables don't; who inherits them reads no file again."""
    try:
        variables.update(read_settings_file(NAMES - DERIVED | OF_SERVERS | OF_ENGINES | OF_REPLAY, variables))
    except SettingsError as error:
        raise Failure(str(error)) from error
    variables[VARIABLE] = os.devnull


def read(variables: MutableMapping[str, str]) -> ServeSettings:
    """Settings from make's variables, to which those that the frontend reads are added."""
    host = variables.get("HOST") or LOOPBACK
    port = ports.parse("PORT", variables.get("PORT") or "8000")
    grpc_port = ports.parse("TRITON_GRPC_PORT", variables.get("TRITON_GRPC_PORT") or "8001")
    metrics_port = ports.parse(
        "TRITON_METRICS_PORT", variables.get("TRITON_METRICS_PORT") or str(ports.free())
    )
    derived = {
        "FRONTEND_HOST": host,
        "FRONTEND_PORT": str(port),
        "TRITON_GRPC_ADDRESSES": f"{LOOPBACK}:{grpc_port}",
        "TRITON_METRICS_ADDRESSES": f"{LOOPBACK}:{metrics_port}",
    }
    variables.update(derived)
    try:
        frontend = checked_settings(derived)
        frontend.read_keys()
    except SettingsError as error:
        raise Failure(str(error).replace("FRONTEND_HOST", "HOST")) from error
    return ServeSettings(
        host,
        port,
        grpc_port,
        metrics_port,
        frontend.has_keys,
        frontend.shutdown_grace_s,
        frontend.has_tls,
        generation_silence_s=_generation_silence_s(variables.get("GENERATION_SILENCE_S")),
    )


def _generation_silence_s(text: str | None) -> float:
    try:
        seconds = float(text) if text else GENERATION_SILENCE_S
    except ValueError:
        seconds = math.nan
    if not SHORTEST_SILENCE_S <= seconds < math.inf:
        raise Failure(f"GENERATION_SILENCE_S={text} is no number of seconds, {SHORTEST_SILENCE_S:g} at least")
    return seconds
