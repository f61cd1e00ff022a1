import pytest

from build.errors import Failure
from build.paths import LOCK, SERVING_LOCK
from scripts.setup import cause_of, require_platform, stamp


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


# As uv 0.13.9 wrote it when it was made to fail.
@pytest.mark.parametrize(
    ("log", "cause"),
    [
        ("error: Failed to install\n  cause: No space left on device (os error 28)", "disk is full"),
        ("error: Failed to fetch: x\n  cause: dns error", "can't be reached"),
        ("error: Failed to download `a==1`\n  cause: Hash mismatch for `a==1`", "not the one"),
        ("warning: x\nerror: last words\n", "last words"),
        ("nothing of note", "reason is in its log"),
    ],
)
def test_cause_of_uvs_failure(log: str, cause: str) -> None:
    assert cause in cause_of(log)


def test_stamps_tell_locks_apart() -> None:
    """What serves is not taken for what tests need."""
    assert stamp(LOCK) != stamp(SERVING_LOCK)
