"""Every address, limit and secret of the frontend: read once, then frozen."""

import ipaddress
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from frontend.addresses import is_host_and_port, parse_target
from frontend.keys.key import MIN_KEY_CHARS, ApiKey, KeyFileError, plain_keys, read_key_file
from frontend.settings_file import SettingsError, read_settings_file

ANY_ORIGIN = "*"
# As the header Origin has it (RFC 6454): no path, no slash at the end, nothing in capitals.
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?")


class Settings(BaseSettings):
    """The environment variable of a setting is its name in capitals."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, extra="forbid")

    frontend_host: str = "127.0.0.1"
    frontend_port: int = Field(default=8000, ge=1, le=65535)
    ops_port: int | None = Field(default=None, ge=1, le=65535)
    workers: int = Field(default=1, ge=1, le=128)
    triton_grpc_addresses: Annotated[tuple[str, ...], NoDecode] = ("127.0.0.1:8001",)
    triton_metrics_addresses: Annotated[tuple[str, ...], NoDecode] = ()

    api_keys: Annotated[tuple[str, ...], NoDecode] = Field(default=(), repr=False)
    api_keys_file: Path | None = None

    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()

    max_body_bytes: int = Field(default=16 * 1024 * 1024, ge=1024)
    max_choices: int = Field(default=16, ge=1, le=128)
    refuse_unknown_fields: bool = False
    max_concurrent_requests: int | None = Field(default=None, ge=1)
    max_queued_requests: int = Field(default=1024, ge=0)
    queue_timeout_s: float = Field(default=60, gt=0)
    first_token_timeout_s: float = Field(default=300, gt=0)
    token_timeout_s: float = Field(default=60, gt=0)
    request_timeout_s: float = Field(default=3600, gt=0)
    receive_timeout_s: float = Field(default=60, gt=0)
    send_timeout_s: float = Field(default=30, gt=0)
    idle_timeout_s: int = Field(default=75, ge=1)
    tls_cert_file: Path | None = None
    tls_key_file: Path | None = None
    shutdown_grace_s: int = Field(default=30, ge=0)
    log_prompts: bool = False
    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$")

    @field_validator(
        "api_keys", "cors_origins", "triton_grpc_addresses", "triton_metrics_addresses", mode="before"
    )
    @classmethod
    def _split(cls, value: object) -> object:
        return (
            tuple(item.strip() for item in value.split(",") if item.strip())
            if isinstance(value, str)
            else value
        )

    @field_validator("triton_grpc_addresses")
    @classmethod
    def _require_targets(cls, targets: tuple[str, ...]) -> tuple[str, ...]:
        for target in targets:
            if parse_target(target) is None:
                raise ValueError(f"{target} is neither HOST:PORT nor a target of gRPC's")
        if not targets:
            raise ValueError("there must be one address at least")
        return targets

    @field_validator("triton_metrics_addresses")
    @classmethod
    def _require_addresses(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        for address in addresses:
            if not is_host_and_port(address):
                raise ValueError(f"{address} is not HOST:PORT")
        return addresses

    @field_validator("cors_origins")
    @classmethod
    def _require_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if origin != ANY_ORIGIN and not ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"{origin} is not as browsers send it: https://app.example.com, without a path"
                )
        return origins

    @field_validator("api_keys_file", "tls_cert_file", "tls_key_file")
    @classmethod
    def _require_file(cls, path: Path | None) -> Path | None:
        if path is not None and not path.is_file():
            raise ValueError(f"there is no file {path}")
        return path

    @model_validator(mode="after")
    def _require_keys_in_public(self) -> "Settings":
        if not self.has_keys and not _is_loopback(self.frontend_host):
            raise ValueError(
                f"FRONTEND_HOST {self.frontend_host} is reachable from other machines: "
                "set API_KEYS or API_KEYS_FILE, or listen on 127.0.0.1"
            )
        if self.has_weak_key and not _is_loopback(self.frontend_host):
            raise ValueError(
                f"API_KEYS: a key has less than {MIN_KEY_CHARS} characters; "
                "make one that can't be guessed with: make keys ARGS='create NAME'"
            )
        return self

    @model_validator(mode="after")
    def _require_two_ports(self) -> "Settings":
        if self.ops_port == self.frontend_port:
            raise ValueError(f"OPS_PORT {self.ops_port} is the API's own port; it must differ")
        return self

    @model_validator(mode="after")
    def _require_whole_tls(self) -> "Settings":
        if self.tls_cert_file is None and self.tls_key_file is None:
            return self
        if self.tls_cert_file is None or self.tls_key_file is None:
            raise ValueError("TLS needs both TLS_CERT_FILE and TLS_KEY_FILE")
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
                self.tls_cert_file, self.tls_key_file
            )
        except (ssl.SSLError, OSError) as error:
            raise ValueError(
                f"TLS_CERT_FILE and TLS_KEY_FILE are no certificate and its key: {error}"
            ) from error
        return self

    @property
    def has_tls(self) -> bool:
        return self.tls_cert_file is not None

    @property
    def has_keys(self) -> bool:
        return bool(self.api_keys) or self.api_keys_file is not None

    @property
    def has_weak_key(self) -> bool:
        """Whether a key of API_KEYS is short enough to be guessed."""
        return any(len(key) < MIN_KEY_CHARS for key in self.api_keys)

    def plain_keys(self) -> tuple[ApiKey, ...]:
        """The keys of API_KEYS: api-keys-1, api-keys-2 and so on, without limits."""
        return plain_keys("api-keys", self.api_keys)

    def read_keys(self) -> tuple[ApiKey, ...]:
        """Every accepted key: those of API_KEYS and those of API_KEYS_FILE."""
        if self.api_keys_file is None:
            return self.plain_keys()
        try:
            keys = read_key_file(self.api_keys_file).keys
        except KeyFileError as error:
            raise SettingsError(f"API_KEYS_FILE: {error}") from error
        if not keys:
            raise SettingsError(f"API_KEYS_FILE: {self.api_keys_file} holds no key")
        return self.plain_keys() + keys


NAMES = frozenset(name.upper() for name in Settings.model_fields)


def read_settings() -> Settings:
    """From the environment and, where that does not say it, from the settings file; raises SettingsError."""
    return checked_settings(read_settings_file(NAMES))


def checked_settings(further: Mapping[str, str] | None = None) -> Settings:
    """From the environment, and further values by name; SettingsError has a sentence for each bad one."""
    fields: dict[str, Any] = {name.lower(): value for name, value in (further or {}).items() if value}
    try:
        return Settings(**fields)
    except ValidationError as error:
        raise SettingsError("; ".join(_sentence(item) for item in error.errors())) from error


def _sentence(item: object) -> str:
    assert isinstance(item, dict)  # noqa: S101 - pydantic's ErrorDetails
    name = ".".join(str(part) for part in item["loc"]).upper()
    text = str(item["msg"]).removeprefix("Value error, ")
    return f"{name}: {text}" if name else text


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
