"""GPUs to plan for and to serve on: named, such as 8xH100, or found by nvidia-smi."""

import ctypes
import os
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from build.errors import BuildError

NVIDIA_SMI = (
    "nvidia-smi",
    "--query-gpu=index,uuid,driver_version,name,memory.total,compute_cap",
    "--format=csv,noheader,nounits",
)
# What CUDA lets a program see: indices, or beginnings of UUIDs. nvidia-smi itself shows all the same.
VISIBLE = "CUDA_VISIBLE_DEVICES"
TIMEOUT_S = 30
# Of the image with TensorRT-LLM 1.2.1 (compatibility.md of Triton's server), as cuDriverGetVersion spells it.
CUDA, IMAGE_DRIVER = 13_010, "590.44.01"
# With which every CUDA 13.x runs (minor version compatibility, in NVIDIA's CUDA Compatibility).
LEAST_DRIVER = 580


@dataclass(frozen=True)
class Gpu:
    """memory_mib as nvidia-smi tells it; compute is the compute capability times ten, such as 90."""

    name: str
    memory_mib: int
    compute: int
    has_nvlink: bool


@dataclass(frozen=True)
class Gpus:
    """`num_nodes` machines with `per_node` of one GPU each; driver is empty for GPUs that are only named."""

    gpu: Gpu
    per_node: int
    num_nodes: int
    driver: str = field(default="", compare=False)

    @property
    def count(self) -> int:
        return self.per_node * self.num_nodes

    def __str__(self) -> str:
        nodes = f"{self.num_nodes} nodes of " if self.num_nodes > 1 else ""
        return f"{nodes}{self.per_node}x {self.gpu.name}"


# Memory as nvidia-smi shows it, compute capability and NVLink from NVIDIA's data sheets.
GPUS = {
    "A10G": Gpu("A10G", 23028, 86, False),
    "A100-40GB": Gpu("A100-40GB", 40960, 80, True),
    "A100-80GB": Gpu("A100-80GB", 81920, 80, True),
    "L4": Gpu("L4", 23034, 89, False),
    "L40S": Gpu("L40S", 46068, 89, False),
    "H100": Gpu("H100", 81559, 90, True),
    "H100-NVL": Gpu("H100-NVL", 95330, 90, True),
    "H200": Gpu("H200", 143771, 90, True),
    "B200": Gpu("B200", 183359, 100, True),
}
_ALIASES = {"A100": "A100-80GB", "H100-80GB": "H100", "H100-94GB": "H100-NVL", "H200-141GB": "H200"}
_NAMED = re.compile(
    r"(?:(?:(?P<nodes>\d+)x)?(?P<count>\d+)x)?(?P<name>[a-z][\w-]*)", re.ASCII | re.IGNORECASE
)
# By the name that nvidia-smi shows: GPUs of NVSwitch or NVLink machines.
_NVLINK_NAMES = re.compile(r"SXM|HBM|H200|B200|NVL\b|GH200|GB200")


def named_gpus(text: str) -> Gpus:
    """`8xH100`, `H200` or, over two machines, `2x8xH100`; raises BuildError."""
    found = _NAMED.fullmatch(text.strip())
    name = found["name"].upper() if found else ""
    gpu = GPUS.get(_ALIASES.get(name, name))
    if found is None or gpu is None:
        raise BuildError(f"GPUS: {text!r} is not like 8xH100 or 2x8xH100, with one of {', '.join(GPUS)}.")
    gpus = Gpus(gpu, per_node=int(found["count"] or 1), num_nodes=int(found["nodes"] or 1))
    if not gpus.count:
        raise BuildError(f"GPUS: {text!r} has no GPU.")
    return gpus


def query_nvidia_smi() -> str:
    """What nvidia-smi prints of the GPUs; empty where it is not or finds none."""
    try:
        result = subprocess.run(NVIDIA_SMI, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return ""
    return "" if result.returncode else result.stdout


def detected_gpus(
    query: Callable[[], str] = query_nvidia_smi, variables: Mapping[str, str] = os.environ
) -> Gpus | None:
    """This machine's GPUs that CUDA shows, None without any; raises BuildError when they differ."""
    found = [_parse(line) for line in query().splitlines() if line.strip()]
    visible = variables.get(VISIBLE)
    gpus = [gpu for index, uuid, _, gpu in found if _is_visible(index, uuid, visible)]
    if not gpus:
        return None
    kinds = {gpu.name for gpu in gpus}
    if len(kinds) > 1:
        raise BuildError(
            f"This machine has different GPUs ({', '.join(sorted(kinds))}), and one engine is for one kind: "
            f"choose by {VISIBLE}."
        )
    return Gpus(min(gpus, key=lambda gpu: gpu.memory_mib), len(gpus), num_nodes=1, driver=found[0][2])


def driver_problem(gpus: Gpus, cuda_of_library: Callable[[], int] | None = None) -> str | None:
    """What is wrong with the driver for the CUDA of NVIDIA's image, in a sentence.

    An older one serves where the image's own libcuda, of the same CUDA, comes first (forward compatibility).
    """
    major = gpus.driver.partition(".")[0]
    if not major.isdecimal() or int(major) >= LEAST_DRIVER or (cuda_of_library or _cuda_of_library)() >= CUDA:
        return None
    return (
        f"The NVIDIA driver is {gpus.driver}, and CUDA {CUDA // 1000}.{CUDA % 1000 // 10} of TensorRT-LLM's "
        f"image needs {LEAST_DRIVER} or newer (NVIDIA's own number for the image is {IMAGE_DRIVER}): update "
        "the driver of this machine."
    )


def _cuda_of_library() -> int:
    """As cuDriverGetVersion tells, 13010 for CUDA 13.1; 0 where there is no libcuda."""
    version = ctypes.c_int(0)
    try:
        ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version))
    except (OSError, AttributeError):
        return 0
    return version.value


def _is_visible(index: str, uuid: str, visible: str | None) -> bool:
    if visible is None:
        return True
    chosen = [item.strip() for item in visible.split(",")]
    return any(item == index or (item.startswith("GPU-") and uuid.startswith(item)) for item in chosen)


def _parse(line: str) -> tuple[str, str, str, Gpu]:
    """`0, GPU-5a2f..., 590.44.01, NVIDIA H100 80GB HBM3, 81559, 9.0`"""
    try:
        index, uuid, driver, rest = (part.strip() for part in line.split(",", 3))
        name, memory_mib, compute = (part.strip() for part in rest.rsplit(",", 2))
        major, minor = compute.split(".")
        has_nvlink = _NVLINK_NAMES.search(name) is not None
        return index, uuid, driver, Gpu(name, int(memory_mib), 10 * int(major) + int(minor), has_nvlink)
    except ValueError as error:
        raise BuildError(f"nvidia-smi says {line.strip()!r}, which is no GPU that can be used.") from error
