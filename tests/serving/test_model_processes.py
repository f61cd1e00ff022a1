import signal
import subprocess
import sys
from pathlib import Path

import pytest

from serving.model_processes import ModelProcesses
from tests.patience import wait_until

# tritonserver and what it starts for its models, by their command lines.
TREE = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()", *{arguments}])
time.sleep(600)
"""
STUB = ["triton_python_backend_stub", "/models/preprocess/1/model.py", "prefix-1"]
HOST = ["/backends/engine_process/engine_host.py", "tensorrt_llm"]


@pytest.mark.parametrize(
    ("arguments", "names"), [(STUB, ["preprocess"]), (HOST, ["tensorrt_llm"]), (["x"], [])]
)
def test_the_processes_of_models_are_known_by_name(arguments: list[str], names: list[str]) -> None:
    # A shell between them, as mpirun is.
    with subprocess.Popen([sys.executable, "-c", TREE.format(arguments=arguments)]) as root:
        children = Path(f"/proc/{root.pid}/task/{root.pid}/children")
        wait_until(lambda: children.read_text())
        child = int(children.read_text())
        wait_until(lambda: "signal.pause" in Path(f"/proc/{child}/cmdline").read_text())
        models = ModelProcesses(root.pid)
        assert models.names == names
        assert models.complaint() is None
        subprocess.run(["kill", f"-{signal.SIGKILL.value}", str(child)], check=True)
        wait_until(lambda: models.complaint() is not None or not names)
        assert models.complaint() == (f"the process of its model {names[0]} has ended" if names else None)
        models.close()
        root.kill()
