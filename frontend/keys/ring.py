"""The accepted keys, read again when their file changes."""

import asyncio
import hmac
import logging
import os
from collections.abc import Iterable

from frontend.keys.key import ANONYMOUS, MIN_KEY_CHARS, ApiKey, KeyFileError, digest, read_key_file
from frontend.settings import Settings
from frontend.settings_file import SettingsError

logger = logging.getLogger(__name__)

# A key that is made or revoked counts after this many seconds at most.
RELOAD_INTERVAL_S = 1.0

_Version = tuple[int, int, int]


class KeyRing:
    """Who a key belongs to; without settings for keys every request is anonymous."""

    def __init__(self, settings: Settings, keys: Iterable[ApiKey] | None = None) -> None:
        """`keys`: of before, for a worker that takes another's place while the file can't be read."""
        self._plain_keys = settings.plain_keys()
        self._path = settings.api_keys_file
        self._is_open = not settings.has_keys
        self._version = self._file_version()
        self._set(_read_keys(settings, keys))
        if settings.has_weak_key:
            logger.warning("API_KEYS holds a key of less than %d characters", MIN_KEY_CHARS)

    def owner(self, key: str) -> ApiKey | None:
        """None: the key is not accepted."""
        if self._is_open:
            return ANONYMOUS
        # The time of this look-up depends on the key's digest alone, of which nothing leads back to a key.
        given = digest(key)
        found = self._by_digest.get(given)
        return found if found is not None and hmac.compare_digest(found.sha256, given) else None

    async def keep_up_to_date(self) -> None:
        """Follows the file until cancelled; while it can't be read the keys of before stay."""
        while self._path is not None:
            await asyncio.sleep(RELOAD_INTERVAL_S)
            # In a thread: a file system that hangs holds nobody up.
            await asyncio.to_thread(self.reload_if_changed)

    def reload_if_changed(self) -> None:
        version = self._file_version()
        if self._path is None or version == self._version:
            return
        self._version = version
        try:
            keys = read_key_file(self._path).keys
        except KeyFileError as error:
            logger.error("API_KEYS_FILE was not read again, the keys of before stay: %s", error)
            return
        self._set((*self._plain_keys, *keys))
        logger.info("API_KEYS_FILE was read again: %d keys", len(keys))

    def _set(self, keys: Iterable[ApiKey]) -> None:
        self._by_digest = {key.sha256: key for key in keys}

    def _file_version(self) -> _Version | None:
        if self._path is None:
            return None
        try:
            status = os.stat(self._path)
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino, status.st_size


def _read_keys(settings: Settings, before: Iterable[ApiKey] | None) -> Iterable[ApiKey]:
    try:
        return settings.read_keys()
    except SettingsError as error:
        if before is None:
            raise
        logger.error("%s; the keys of before stay", error)
        return before
