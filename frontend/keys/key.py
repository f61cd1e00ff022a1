"""A key, and the file that holds keys: names, limits and digests, never a key itself.

    {"keys": [{"name": "team-a", "sha256": "<64 hex digits>", "requests_per_minute": 60}]}

A plain SHA-256 does, because the keys are 256 random bits: nobody can try them all, which is what slow hashes
and salts are against.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

# What the ledger of the workers holds.
MAX_KEYS = 1024
MAX_NAME_BYTES = 64
# Of random letters and digits: 95 bits. A guesser who has the digest does 2**40 tries in a minute.
MIN_KEY_CHARS = 16

Limit = Annotated[int, Field(ge=1)]


class KeyFileError(Exception):
    """A key file can't be used; the text says why, and holds nothing of a key."""


class ApiKey(BaseModel):
    """Who a request comes from, and its limits; None: no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    name: str = Field(pattern=rf"^[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_NAME_BYTES - 1}}}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", repr=False)
    created: str | None = None
    """When it was made, in UTC."""
    requests_per_minute: Limit | None = None
    tokens_per_minute: Limit | None = None
    concurrency: Limit | None = None
    """Generations that may run or wait at once."""

    @property
    def limits_per_minute(self) -> tuple[int | None, int | None]:
        """Of requests and of tokens."""
        return self.requests_per_minute, self.tokens_per_minute


# Of all requests where no keys are set.
ANONYMOUS = ApiKey(name="anonymous", sha256="0" * 64)


class KeyFile(BaseModel):
    """The keys of a file, whose names and digests differ."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    # Room in the ledger is left for keys that were revoked and are still at work.
    keys: tuple[ApiKey, ...] = Field(default=(), max_length=MAX_KEYS - 24)

    @model_validator(mode="after")
    def _require_differences(self) -> "KeyFile":
        for field in ("name", "sha256"):
            if len({getattr(key, field) for key in self.keys}) < len(self.keys):
                raise ValueError(f"two keys have the same {field}")
        return self


def digest(key: str) -> str:
    """SHA-256 of a key, as hex digits."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def plain_keys(name: str, keys: Sequence[str]) -> tuple[ApiKey, ...]:
    """Keys that are known in the clear, as NAME-1, NAME-2 and so on."""
    return tuple(
        ApiKey(name=f"{name}-{index}", sha256=digest(key)) for index, key in enumerate(keys, start=1)
    )


def read_key_file(path: Path) -> KeyFile:
    """Raises KeyFileError when it is not there or no key file."""
    try:
        # A pipe would be waited for, by the event loop.
        if path.exists() and not path.is_file():
            raise KeyFileError(f"{path} is no file")
        return KeyFile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        if first["type"] == "json_invalid":
            raise KeyFileError(
                f"{path} is not JSON; a list of plain keys becomes a key file with: "
                f"API_KEYS_FILE={path} make keys ARGS=migrate"
            ) from None
        place = ".".join(str(part) for part in first["loc"])
        raise KeyFileError(f"{path}: {place}{': ' if place else ''}{first['msg']}") from None
