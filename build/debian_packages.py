"""Unpacks packages of the machine's own Debian or Ubuntu archive into a folder; it needs no root."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from build.errors import Failure

OS_RELEASE = Path("/etc/os-release")
# The first releases with glibc 2.38 or newer, by distribution.
NEWER_RELEASES = {"debian": "trixie", "ubuntu": "noble"}


def unpack(
    packages: Sequence[str], into: Path, release: str | None = None, has_dependencies: bool = False
) -> None:
    """Downloads the packages, of another release of the same distribution if given, and unpacks them.

    With `has_dependencies` also what they need and the machine has not.

    apt checks every file against the archive's signature with the keys the machine trusts.
    """
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise Failure(f"{', '.join(packages)} can't be fetched: this machine has no apt-get")
    print(f"fetching {', '.join(packages)} from this system's package archive", flush=True)
    with tempfile.TemporaryDirectory(prefix="apt-") as scratch:
        state = Path(scratch)
        options = _private_state(state)
        if release is not None:
            options += _private_sources(state, _mirrors(), release)
        for archive in _download(packages, state, options, has_dependencies):
            _call(["dpkg-deb", "-x", str(archive), str(into)])


def newer_release() -> str:
    """Name of the release of this machine's distribution whose C library is new enough for perf_analyzer."""
    distribution = _os_release().get("ID", "")
    if distribution not in NEWER_RELEASES:
        raise Failure(
            f"a newer C library is known for Debian and Ubuntu only, not for {distribution or 'this system'}"
        )
    return NEWER_RELEASES[distribution]


def mirrors_of(listing: str, codename: str) -> list[str]:
    """Archive addresses of the release `codename` in the output of `apt-get update --print-uris`."""
    suites = f"(?:{re.escape(codename)}|stable|oldstable)"
    return list(dict.fromkeys(re.findall(rf"^'(\S+)/dists/{suites}/InRelease'", listing, re.MULTILINE)))


def options_of(settings: dict[str, str | Path]) -> list[str]:
    """apt-get's command line for the settings."""
    return [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]


def _private_state(state: Path) -> list[str]:
    for folder in ("lists/partial", "archives/partial", "packages"):
        (state / folder).mkdir(parents=True)
    return options_of(
        {
            "Dir::State": state,
            "Dir::State::lists": state / "lists",
            "Dir::State::status": "/var/lib/dpkg/status",
            "Dir::Cache": state,
            "Dir::Cache::archives": state / "archives",
            "APT::Sandbox::User": "root",
            # The state is this run's own, and the machine's lock is root's.
            "Debug::NoLocking": "1",
            "APT::Architectures": "amd64",
            "Acquire::Languages": "none",
        }
    )


def _private_sources(state: Path, mirrors: Iterable[str], release: str) -> list[str]:
    sources = state / "sources.list"
    sources.write_text("".join(f"deb {mirror} {release} main\n" for mirror in mirrors))
    return options_of({"Dir::Etc::sourcelist": sources, "Dir::Etc::sourceparts": "/dev/null"})


def _mirrors() -> list[str]:
    listing = _call(["apt-get", "update", "--print-uris"])
    mirrors = mirrors_of(listing, _os_release().get("VERSION_CODENAME", ""))
    if not mirrors:
        raise Failure("apt's configuration on this machine names no archive of its own release")
    return mirrors


def _download(
    packages: Sequence[str], state: Path, options: Sequence[str], has_dependencies: bool
) -> list[Path]:
    # A third party's broken source fails the update, yet the distribution's own lists are there.
    update = subprocess.run(["apt-get", *options, "update"], capture_output=True, text=True, check=False)
    try:
        if has_dependencies:
            install = ["install", "--yes", "--download-only", "--no-install-recommends"]
            _call(["apt-get", *options, *install, *packages])
        else:
            _call(["apt-get", *options, "download", *packages], cwd=state / "packages")
    except Failure as failure:
        lines = update.stderr.strip().splitlines()
        raise Failure(f"{failure} {lines[0]}" if lines else str(failure)) from failure
    return sorted([*(state / "packages").glob("*.deb"), *(state / "archives").glob("*.deb")])


def _os_release() -> dict[str, str]:
    pairs = (line.split("=", 1) for line in OS_RELEASE.read_text().splitlines() if "=" in line)
    return {name: value.strip('"') for name, value in pairs}


def _call(command: Sequence[str], cwd: Path | None = None) -> str:
    environment = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        message = " ".join(done.stderr.split())
        raise Failure(f"{' '.join(command[:1])} could not fetch or unpack a package: {message}")
    return done.stdout
