"""How many sequences the replay engine has, by its own count."""

from pathlib import Path


def read_count(file: Path) -> int:
    """Those that run or wait, of the file that SEQUENCE_COUNT_FILE names."""
    return int.from_bytes(file.read_bytes(), "little")
