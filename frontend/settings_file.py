"""The file that holds settings: lines of NAME=value, as in the environment, which wins over the file."""

import os
import stat
from collections.abc import Collection, Mapping
from pathlib import Path

from dotenv.parser import parse_stream

VARIABLE = "SETTINGS_FILE"
DEFAULT = Path(".env")
SECRET = "API_KEYS"  # noqa: S105 - a setting's name


class SettingsError(Exception):
    """A setting has a value that the server can't start with; the text names it."""


def read_settings_file(
    names: Collection[str] | None = None, variables: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """What the file says and the variables don't; raises SettingsError for what is none of `names`."""
    path = Path(variables.get(VARIABLE) or DEFAULT)
    if not path.exists():
        if variables.get(VARIABLE):
            raise SettingsError(f"{VARIABLE}: there is no file {path}")
        return {}
    values = _parse(path)
    unknown = sorted(set(values).difference(values if names is None else names))
    if unknown:
        raise SettingsError(f"{', '.join(unknown)} in {path}: there is no such setting")
    if values.get(SECRET) and path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
        raise SettingsError(
            f"{SECRET} in {path}: everybody on this machine can read that file; run: chmod 600 {path}"
        )
    return {name: value for name, value in values.items() if not variables.get(name)}


def _parse(path: Path) -> dict[str, str]:
    values: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8") as file:
            lines = list(parse_stream(file))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} can't be read: {error}") from error
    for line in lines:
        # Not the line itself: it may hold a key.
        if line.error or (line.key is not None and line.value is None):
            raise SettingsError(f"{path}, line {line.original.line}: this is not NAME=value")
        if line.key is None or line.value is None:
            continue
        if line.key in values:
            raise SettingsError(f"{line.key} in {path}: it is set twice")
        values[line.key] = line.value
    return values
