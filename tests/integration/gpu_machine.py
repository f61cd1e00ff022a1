"""Commands of a machine with two GPUs and Docker, for the PATH: what stands in for what can't run here.

nvidia-smi lists the GPUs. docker runs its command without a container, in a copy of the engine folder where
the replay engine has the place of the compiled one, with the packages of NVIDIA's image alone on its PATH and
no home. mpirun starts ranks as Open MPI does, and sends the
others home when rank 0 has left, which on GPUs that rank's executor does.
"""

import sys
import venv
from collections.abc import Sequence
from pathlib import Path

NVIDIA_SMI = """#!/bin/sh
[ "$1" = "--query-gpu=index,uuid,driver_version,name,memory.total,compute_cap" ] || exit 2
echo "0, GPU-1, 590.44.01, NVIDIA H100 80GB HBM3, 81559, 9.0"
echo "1, GPU-2, 590.44.01, NVIDIA H100 80GB HBM3, 81559, 9.0"
"""

MPIRUN = """
import os, signal, subprocess, sys
words = sys.argv[sys.argv.index("-n") :]
ranks, part = [], []
for word in [*words, ":"]:
    if word != ":":
        part.append(word)
        continue
    assert part[:2] == ["-n", "1"], part
    environment = os.environ | {"OMPI_COMM_WORLD_RANK": str(len(ranks))}
    print("rank", len(ranks), *part[3:], flush=True)
    ranks.append(subprocess.Popen(part[2:], env=environment))
    part = []
statuses = [ranks[0].wait()]
for rank in ranks[1:]:
    rank.terminate()
    statuses.append(rank.wait())
print("all ranks have left", *statuses, flush=True)
sys.exit(max(statuses))
"""

DOCKER = """
import importlib.metadata, os, shutil, sys
from pathlib import Path
sys.path.insert(0, os.getcwd())
from serving import tritonserver
from serving.engine import choose
from scripts.replay.options import ReplayOptions
from scripts.replay.repository import render_replay
words = sys.argv[1:]
if words[0] != "run":
    sys.exit(words[:2] not in (["image", "inspect"], ["rm", "--force"]))
options = {word.partition("=")[0]: word.partition("=")[2] for word in words if "=" in word}
assert {"--gpus", "--shm-size", "--publish", "--workdir"} <= options.keys(), options
(source,) = [word.split(":")[0].split("=")[1] for word in words if word.endswith(":/engine:ro")]
published = [word.split(":")[1:] for word in words if word.startswith("--publish=")]
inside, image = (Path(sys.argv[0]).parent / name for name in ("inside", "image"))
shutil.copytree(source, inside)
embedded = choose({"ENGINE": "replay"}).folder
render_replay(embedded / "model_repository", embedded, inside / "replay", ReplayOptions())
shutil.rmtree(inside / "model_repository" / "tensorrt_llm")
shutil.move(inside / "replay" / "tensorrt_llm", inside / "model_repository")
# What stands in for code in C++ brings its own.
guides = importlib.metadata.distribution("llguidance")
for name in {path.parts[0] for path in guides.files} - {".."}:
    (inside / "model_repository" / "tensorrt_llm" / "1" / name).symlink_to(guides.locate_file(name))
ports = {port_inside: port for port, port_inside in published}
here = {"/engine": str(inside), "0.0.0.0": "127.0.0.1", **ports}
command = [here.get(word, word) for word in words[words.index("python3") + 1 :]]
environment = tritonserver.environment(os.environ)
environment["PATH"] = os.pathsep.join([f"{image}/bin", str(image.parent), "/usr/bin", "/bin"])
environment.pop("HOME")
os.execve(sys.executable, [sys.executable, *command], environment)
"""


def install(folder: Path, image_packages: Sequence[Path]) -> None:
    """Writes the commands; image_packages: folders of what Python finds in NVIDIA's image."""
    venv.create(folder / "image", symlinks=True)
    packages = next((folder / "image" / "lib").glob("python*")) / "site-packages"
    (packages / "image.pth").write_text("".join(f"{path.resolve()}\n" for path in image_packages))
    python = f"#!{sys.executable}\n"
    for name, text in (("nvidia-smi", NVIDIA_SMI), ("mpirun", python + MPIRUN), ("docker", python + DOCKER)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
