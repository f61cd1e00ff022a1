"""Every address, limit and secret of the frontend: read once from the environment, then frozen."""

import ipaddress
import ssl
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class SettingsError(Exception):
    """A setting has a value that the frontend can't start with; the text names it."""


class Settings(BaseSettings):
    """The environment variable of a setting is its name in capitals."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, extra="ignore")

    frontend_host: str = "127.0.0.1"
    frontend_port: int = Field(default=8000, ge=1, le=65535)
    triton_grpc_address: str = Field(default="127.0.0.1:8001", pattern=r"^[^:\s]+:\d{1,5}$")
    triton_model: str = "ensemble"

    api_keys: Annotated[tuple[str, ...], NoDecode] = Field(default=(), repr=False)
    api_keys_file: Path | None = None

    max_body_bytes: int = Field(default=16 * 1024 * 1024, ge=1024)
    max_choices: int = Field(default=16, ge=1, le=128)
    max_prompts: int = Field(default=64, ge=1)
    max_stop_strings: int = Field(default=16, ge=1)
    refuse_unknown_fields: bool = False
    sse_keep_alive_s: float = Field(default=15, gt=0)
    receive_timeout_s: float = Field(default=60, gt=0)
    send_timeout_s: float = Field(default=30, gt=0)
    idle_timeout_s: int = Field(default=75, ge=1)
    tls_cert_file: Path | None = None
    tls_key_file: Path | None = None
    shutdown_grace_s: int = Field(default=30, ge=0)
    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$")

    @field_validator("api_keys", mode="before")
    @classmethod
    def _split_keys(cls, value: object) -> object:
        return (
            tuple(key.strip() for key in value.split(",") if key.strip()) if isinstance(value, str) else value
        )

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

    def read_keys(self) -> tuple[str, ...]:
        """Every accepted bearer key: those of API_KEYS and the lines of API_KEYS_FILE."""
        if self.api_keys_file is None:
            return self.api_keys
        lines = self.api_keys_file.read_text(encoding="utf-8").splitlines()
        from_file = tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
        if not from_file:
            raise SettingsError(f"API_KEYS_FILE: {self.api_keys_file} holds no key")
        return self.api_keys + from_file


def read_settings() -> Settings:
    """Settings from the environment; raises SettingsError with one sentence a bad value."""
    try:
        return Settings()
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
