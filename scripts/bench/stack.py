"""The whole stack, started for measurements: what `make serve` starts, on free ports."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from build.paths import ENGINES, LOGS
from scripts.bench.process_cpu import StackProcesses
from serving import engine, ports
from serving import settings as serve_settings
from serving.health import TritonHealth, frontend_answers
from serving.process import Process
from serving.supervisor import Supervisor

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Stack:
    """A stack that answers."""

    port: int
    model: str
    processes: StackProcesses


@contextmanager
def served(**variables: str) -> Iterator[Stack]:
    """A stack with these variables of make; raises Stopped when it does not come up."""
    environment = os.environ | variables
    environment["SETTINGS_FILE"] = os.devnull
    environment |= {"PORT": str(ports.free()), "TRITON_GRPC_PORT": str(ports.free())}
    settings = serve_settings.read(environment)
    with Supervisor() as supervisor:
        command = [sys.executable, "-m", "scripts.serve"]
        process = Process("make serve", command, environment, log=LOGS / "bench.log", grace_s=60)
        supervisor.add(process)
        supervisor.wait_until(lambda: frontend_answers(settings.url, "/health/ready"), "starting the stack")
        model = TritonHealth(settings.grpc_address).served_model_name()
        yield Stack(settings.port, model, StackProcesses(process.pid))


def engine_folder() -> Path:
    """Of the engine that is served."""
    return ENGINES / (os.environ.get("NAME") or "smollm2-135m-instruct")


def built_engine() -> Path:
    """Its folder, for what reads it without a stack: as `make serve` would have built it; raises Failure."""
    chosen = engine.choose(os.environ)
    with Supervisor() as supervisor:
        engine.bring_up_to_date(chosen, supervisor)
    return chosen.folder
