"""tritonserver: the machine's own if it has one, else the one in the nvidia-pytriton wheel."""

import os
import secrets
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from build import debian_packages
from build.errors import Failure, run
from build.locked_wheels import put_in_place
from build.paths import CACHE, VENV
from build.usable_python import shared_library
from serving.backends import backends_of, libraries

SYSTEM_BINARY = Path("/opt/tritonserver/bin/tritonserver")
# Of NVIDIA's image (Dockerfile of tensorrtllm_backend): all that TensorRT-LLM and its models import.
IMAGE_VENV = Path("/opt/venv-tritonserver")
WHEEL = "nvidia-pytriton"
EXIT_TIMEOUT_S = 10
# Registered shared memory has been a way to run code in Triton (CVE-2025-23319, 23320, 23334), and nothing
# here needs these four: they answer only to a word that is made up here and told to nobody.
RESTRICTED_PROTOCOLS = f"shared-memory,model-repository,trace,logging:admin={secrets.token_hex()}"
# Response objects that a stream keeps; by default without limit, which NVIDIA's deploy.md warns of. Releases
# of 2024, such as the wheel's, do not know the option.
MAX_POOLED_RESPONSES = 1024
# Threads that take responses from a Python model, one at a time each; by default 32, which take turns on the
# same work: two cost tritonserver a tenth less per token (docs/performance.md).
RESPONSE_THREADS = 2
# Half of what a token costs tritonserver is small blocks of memory, which jemalloc gives out at 0.8 of the C
# library's cost. NVIDIA's image has it too, but nothing was measured there.
ALLOCATOR = "libjemalloc.so.2"
ALLOCATOR_PACKAGE = "libjemalloc2"
STUB = "triton_python_backend_stub"
# The models run without it: under any allocator but the C library's OpenVINO 2026.4 frees wrongly and ends.
STUB_STARTER = f"""#!/bin/sh
unset LD_PRELOAD
exec "$(dirname "$0")/../../lib/{STUB}" "$@"
"""
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where the Python backend keeps it


def command(
    repository: Path, grpc_port: int, address: str = "127.0.0.1", metrics_port: int | None = None
) -> list[str]:
    """The command line that serves the models of the repository on gRPC, and metrics if they get a port."""
    metrics = [f"--metrics-address={address}", f"--metrics-port={metrics_port}"] if metrics_port else []
    if SYSTEM_BINARY.exists():
        binary, backends = SYSTEM_BINARY, SYSTEM_BINARY.parents[1] / "backends"
        own = [f"--grpc-max-response-pool-size={MAX_POOLED_RESPONSES}"]
    else:
        binary, backends, own = _wheel() / "bin" / "tritonserver", _assembled() / "backends", []
    return [
        str(binary),
        *own,
        f"--backend-directory={backends_of(repository, backends)}",
        f"--model-repository={repository}",
        f"--grpc-address={address}",
        f"--grpc-port={grpc_port}",
        "--allow-http=false",
        f"--allow-metrics={'true' if metrics_port else 'false'}",
        *metrics,
        "--model-control-mode=none",
        "--disable-auto-complete-config",
        "--strict-readiness=true",
        "--exit-on-error=true",
        "--trace-config=level=off",
        f"--grpc-restricted-protocol={RESTRICTED_PROTOCOLS}",
        f"--exit-timeout-secs={EXIT_TIMEOUT_S}",
        f"--backend-config=python,shm-region-prefix-name={_memory_prefix(grpc_port)}",
        f"--backend-config=python,thread-pool-size={RESPONSE_THREADS}",
    ]


def remove_leftovers(grpc_port: int) -> None:
    """Frees the shared memory of an earlier tritonserver on this port that was killed."""
    for region in SHARED_MEMORY.glob(f"{_memory_prefix(grpc_port)}*"):
        region.unlink()


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """The inherited environment, changed so that the Python backend sees this virtual environment alone."""
    result = {name: value for name, value in inherited.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    # The embedded interpreter looks for python3 on the PATH and takes the packages beside the one it finds.
    result["PATH"] = os.pathsep.join([f"{sys.prefix}/bin", inherited.get("PATH", os.defpath)])
    result["PYTHONNOUSERSITE"] = "1"
    if not SYSTEM_BINARY.exists():
        libraries = [_site_packages() / "nvidia_pytriton.libs", _assembled() / "lib"]
        result["LD_LIBRARY_PATH"] = os.pathsep.join(map(str, libraries))
        allocator = _assembled() / "lib" / ALLOCATOR
        if allocator.exists():
            result["LD_PRELOAD"] = str(allocator)
    return result


def image_environment(
    inherited: Mapping[str, str], packages: Path = IMAGE_VENV, home: Path = CACHE / "home"
) -> dict[str, str]:
    """What TensorRT-LLM's models run in: the Python of NVIDIA's image, with a home that they can write to.

    home: for a user who has none, as the image's own; libraries of the LLM API keep what they compile there.
    """
    own = {str(VENV / "bin"), str(packages / "bin")}
    path = [part for part in inherited.get("PATH", os.defpath).split(os.pathsep) if part not in own]
    result = {name: value for name, value in inherited.items() if name != "VIRTUAL_ENV"}
    result["PATH"] = os.pathsep.join([str(packages / "bin"), *path] if packages.is_dir() else path)
    if not os.access(result.get("HOME") or "/nowhere", os.W_OK):
        home.mkdir(parents=True, exist_ok=True)
        result["HOME"] = str(home)
    return result


def main() -> int:
    """Has ready what the embedded engine's tritonserver needs, while the engine is still being built."""
    if not SYSTEM_BINARY.exists():
        _assembled()
    libraries()
    return 0


def _memory_prefix(grpc_port: int) -> str:
    return f"tritonserver-{os.getuid()}-{grpc_port}-"


def _assembled() -> Path:
    """Folder with the Python backend, the stub of the running Python version and its shared library."""
    version = sysconfig.get_python_version()
    folder = CACHE / f"tritonserver-of-{WHEEL}-{metadata.version(WHEEL)}-py{version}-jemalloc"
    if not folder.exists():
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{folder.name}.", dir=CACHE) as scratch:
            whole = Path(scratch) / "whole"
            _assemble(whole, version)
            put_in_place(whole, folder)
    return folder


def _assemble(folder: Path, version: str) -> None:
    backend = folder / "backends" / "python"
    shutil.copytree(_wheel() / "backends" / "python", backend)
    (folder / "lib").mkdir()
    shutil.copy2(_wheel() / "python_backend_stubs" / version / STUB, folder / "lib" / STUB)
    (backend / STUB).write_text(STUB_STARTER)
    (backend / STUB).chmod(0o755)
    _provide_shared_library(folder)
    _provide_allocator(folder)


def _provide_shared_library(folder: Path) -> None:
    """Puts libpython into `lib`: the one of this Python, or the distribution's, which is a package apart."""
    library = Path(shared_library())
    if not library.exists():
        debian_packages.unpack([f"libpython{sysconfig.get_python_version()}"], folder)
        library = next(folder.rglob(library.name)).relative_to(folder)
        library = Path("..") / library
    (folder / "lib" / Path(shared_library()).name).symlink_to(library)


def _provide_allocator(folder: Path) -> None:
    """Puts jemalloc into `lib`, where there is an archive of packages: it saves time and is not needed."""
    try:
        debian_packages.unpack([ALLOCATOR_PACKAGE], folder)
    except Failure as failure:
        print(f"tritonserver goes without jemalloc: {failure}", flush=True)
        return
    library = next(folder.rglob(ALLOCATOR)).relative_to(folder)
    (folder / "lib" / ALLOCATOR).symlink_to(Path("..") / library)


def _site_packages() -> Path:
    return Path(sysconfig.get_path("purelib"))


def _wheel() -> Path:
    return _site_packages() / "pytriton" / "tritonserver"


if __name__ == "__main__":
    run(main)
