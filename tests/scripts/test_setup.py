import pytest

from build.errors import Failure
from scripts.setup import cause_of, require_platform


@pytest.mark.parametrize("version", ["2.35", "2.36", "2.39", "3.0"])
def test_platform_is_accepted(version: str) -> None:
    require_platform("Linux", "x86_64", ("glibc", version))


@pytest.mark.parametrize(
    ("system", "machine", "libc", "named"),
    [
        ("Linux", "aarch64", ("glibc", "2.36"), "Linux aarch64 glibc 2.36"),
        ("Linux", "x86_64", ("glibc", "2.31"), "Linux x86_64 glibc 2.31"),
        ("Linux", "x86_64", ("musl", "1.2"), "Linux x86_64 musl 1.2"),
        ("Linux", "x86_64", ("", ""), "Linux x86_64"),
        ("Darwin", "arm64", ("", ""), "Darwin arm64"),
        ("Windows", "AMD64", ("", ""), "Windows AMD64"),
    ],
)
def test_platform_is_refused_by_name(system: str, machine: str, libc: tuple[str, str], named: str) -> None:
    with pytest.raises(Failure, match=f"this machine is {named}$"):
        require_platform(system, machine, libc)


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
            "disk is full",
        ),
        ("WARNING: Retrying after connection broken by 'NewConnectionError(...)'", "can't be reached"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "not the one"),
        ("x\n2026-01-01T00:00:00,000 ERROR: first\n ERROR: last words\n", "last words"),
        ("nothing of note", "reason is in its log"),
    ],
)
def test_cause_of_pips_failure(log: str, cause: str) -> None:
    assert cause in cause_of(log)
