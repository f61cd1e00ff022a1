"""`make keys`: makes, lists and revokes the keys in API_KEYS_FILE; a running frontend follows in a second."""

import argparse
import fcntl
import os
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from pydantic import ValidationError

from frontend.keys.key import (
    MIN_KEY_CHARS,
    ApiKey,
    KeyFile,
    KeyFileError,
    digest,
    plain_keys,
    read_key_file,
)
from frontend.settings_file import SettingsError, read_settings_file

FILE_SETTING = "API_KEYS_FILE"
LIMITS = ("requests_per_minute", "tokens_per_minute", "concurrency")
KEY_BYTES = 32
NO_LIMIT = "-"


def main(arguments: Sequence[str] | None = None) -> int:
    """Does what the command line says to the file that API_KEYS_FILE names."""
    options = _parser().parse_args(arguments)
    file = os.environ.get(FILE_SETTING) or read_settings_file().get(FILE_SETTING)
    if not file:
        raise KeyFileError(
            "API_KEYS_FILE is not set; say where the keys are: API_KEYS_FILE=keys.json make keys ..."
        )
    command: Callable[[Path, argparse.Namespace], None] = options.command
    # What a symbolic link points at is replaced, not the link.
    command(Path(file).resolve(), options)
    return 0


def create(path: Path, options: argparse.Namespace) -> None:
    """Prints the new key: it is stored nowhere, so this is the only time that it shows."""
    key = f"sk-{secrets.token_urlsafe(KEY_BYTES)}"
    fields = {name: getattr(options, name) for name in LIMITS}
    created = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    with _changing(path) as keys:
        keys.append(_checked(name=options.name, sha256=digest(key), created=created, **fields))
    print(f"the key of {options.name}; it is not stored and can't be shown again:", file=sys.stderr)
    print(key)


def show(path: Path, _: argparse.Namespace) -> None:
    """Prints names and limits."""
    columns = ("name", "created", *LIMITS)
    rows = [columns, *(_row(key, columns) for key in read_key_file(path).keys)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip())


def revoke(path: Path, options: argparse.Namespace) -> None:
    """Its requests that run are finished; new ones are refused."""
    with _changing(path) as keys:
        left = [key for key in keys if key.name != options.name]
        if len(left) == len(keys):
            raise KeyFileError(f"{path} has no key {options.name}")
        keys[:] = left
    print(f"{options.name} is revoked")


def migrate(path: Path, _: argparse.Namespace) -> None:
    """A list of plain keys, one a line, becomes a key file in its place; the keys stay valid."""
    text = path.read_text(encoding="utf-8")
    if text.lstrip().startswith("{"):
        raise KeyFileError(f"{path} is a key file already")
    lines = [line.strip() for line in text.splitlines()]
    plain = list(dict.fromkeys(line for line in lines if line and not line.startswith("#")))
    with _locked(path.parent):
        _write(path, plain_keys("key", plain))
    print(f"{path} holds the digests of {len(plain)} keys now, as key-1, key-2 and so on")
    short = sum(len(key) < MIN_KEY_CHARS for key in plain)
    if short:
        print(f"{short} of them are shorter than {MIN_KEY_CHARS} characters: replace them", file=sys.stderr)


@contextmanager
def _changing(path: Path) -> Iterator[list[ApiKey]]:
    """The keys of the file, to be changed; written at the end unless that raises."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.parent):
        keys = list(read_key_file(path).keys) if path.exists() else []
        yield keys
        _write(path, keys)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keeps other commands out; the folder is locked because the file itself is replaced."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _write(path: Path, keys: Sequence[ApiKey]) -> None:
    """The whole file or none of it, for its owner alone."""
    try:
        content = KeyFile(keys=tuple(keys)).model_dump_json(indent=1, exclude_none=True)
    except ValidationError as error:
        raise KeyFileError(f"{path}: {_reason(error)}") from None
    handle, scratch = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            if path.exists():
                # A frontend that runs as another user must still be able to read it.
                os.fchown(handle, path.stat().st_uid, path.stat().st_gid)
            file.write(f"{content}\n")
            file.flush()
            os.fsync(handle)
        os.replace(scratch, path)
    except BaseException:
        os.unlink(scratch)
        raise


def _checked(**fields: object) -> ApiKey:
    try:
        return ApiKey.model_validate(fields)
    except ValidationError as error:
        raise KeyFileError(_reason(error)) from None


def _reason(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else str(first["msg"])


def _row(key: ApiKey, columns: Sequence[str]) -> tuple[str, ...]:
    values = (getattr(key, column) for column in columns)
    return tuple(NO_LIMIT if value is None else str(value) for value in values)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make keys", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    making = commands.add_parser("create", help="make a key and print it, once")
    making.set_defaults(command=create)
    making.add_argument("name", metavar="NAME")
    for limit in LIMITS:
        making.add_argument(f"--{limit.replace('_', '-')}", type=int, metavar="N")
    commands.add_parser("list", help="list names and limits").set_defaults(command=show)
    revoking = commands.add_parser("revoke", help="take a key's rights away")
    revoking.set_defaults(command=revoke)
    revoking.add_argument("name", metavar="NAME")
    migrating = commands.add_parser("migrate", help="turn a list of plain keys into a key file")
    migrating.set_defaults(command=migrate)
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (KeyFileError, SettingsError, OSError) as error:
        sys.exit(f"error: {error}")
