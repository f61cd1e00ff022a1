"""`make serve`: engine, tritonserver and frontend, started in this order and stopped in reverse."""

import json
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

from build.errors import run
from build.gpus import detected_gpus
from build.paths import LOGS
from frontend.server.heartbeat import VARIABLE as HEARTBEAT_VARIABLE
from frontend.server.heartbeat import Heartbeat
from frontend.triton.running_ids import VARIABLE as RUNNING_IDS_VARIABLE
from frontend.triton.running_ids import new_memory
from scripts.replay.repository import chosen_repository
from scripts.shown_logs import ShownLogs
from serving import engine, ports, tritonserver
from serving import settings as serve_settings
from serving.engine_server import STOP_MARGIN_S, ServerLaunch, embedded_launch, gpu_launch
from serving.gpu_engine import is_gpu_engine, require_servable
from serving.health import (
    ENGINE,
    POSTPROCESS,
    PREPROCESS,
    Beats,
    Probe,
    TritonHealth,
    Watch,
    frontend_answers,
)
from serving.kept_server import Server
from serving.model_processes import ModelProcesses
from serving.process import Process
from serving.settings import ServeSettings, without_keys
from serving.supervisor import Stopped, Supervisor
from serving.terminal import Terminal

# A frontend that is silent for longer hangs: no step of its event loop takes a second.
FRONTEND_SILENCE_S = 30
FRONTEND_START_S = 120
DEFAULT_PORT = 8000
NO_KEYS = "none are set (API_KEYS_FILE), so it answers on this machine only"


def main() -> int:
    """Serves what the environment and the settings file say."""
    serve_settings.complete(os.environ)
    return serve(serve_settings.read(os.environ))


def serve(settings: ServeSettings) -> int:
    """Serves until it is told to stop."""
    settings.require_free_ports()
    try:
        with (
            ports.claimed(settings.ports),
            Terminal() as terminal,
            shown_logs(settings, os.environ, terminal.say),
            Supervisor(terminal.say) as supervisor,
        ):
            launch = prepare_engine(supervisor, settings, terminal.say)
            heartbeat = Heartbeat.new()
            model = start_tritonserver(supervisor, settings, launch, heartbeat)
            start_frontend(supervisor, settings, heartbeat)
            terminal.say(greeting(settings, model))
            supervisor.watch()
    except Stopped:
        pass
    return 0


def prepare_engine(
    supervisor: Supervisor, settings: ServeSettings, say: Callable[[str], None]
) -> ServerLaunch:
    """Brings the chosen engine up to date; returns how its tritonserver is started."""
    chosen = engine.choose(os.environ)
    with _compiling_meanwhile(say) if chosen.build_command else nullcontext():
        engine.bring_up_to_date(chosen, supervisor)
    if is_gpu_engine(chosen.folder):
        require_servable(chosen.folder, detected_gpus())
        return gpu_launch(
            chosen.folder, settings.grpc_port, without_keys(os.environ), metrics_port=settings.metrics_port
        )
    repository = chosen_repository(chosen.folder, chosen.repository, os.environ)
    return embedded_launch(
        repository, settings.grpc_port, without_keys(os.environ), metrics_port=settings.metrics_port
    )


@contextmanager
def _compiling_meanwhile(say: Callable[[str], None]) -> Iterator[None]:
    """Beside the build, which leaves a core idle. What fails here fails again where it is needed."""
    log = LOGS / "compile.log"
    command = [sys.executable, "-m", "serving.tritonserver"]
    compiling = Process("compile", command, without_keys(os.environ), log)
    try:
        yield
    except BaseException:
        compiling.stop()
        raise
    compiling.wait()
    for line in log.read_text().splitlines():
        # What was downloaded is for the screen.
        if line.startswith("fetching"):
            say(line)


def start_tritonserver(
    supervisor: Supervisor,
    settings: ServeSettings,
    launch: ServerLaunch,
    heartbeat: Heartbeat,
    logs: Path = LOGS,
) -> str:
    """Returns the served model's name, once its models are loaded."""
    if launch.preparation:
        supervisor.finish(Process(launch.preparation[0], launch.preparation, launch.environment))
    health = TritonHealth(settings.grpc_address, settings.metrics_address)

    def start() -> Process:
        tritonserver.remove_leftovers(settings.grpc_port)
        return Process(
            "tritonserver",
            launch.command,
            launch.environment,
            log=tritonserver_log(settings, logs),
            grace_s=launch.grace_s,
            clean_up=launch.clean_up,
            policy=launch.policy,
        )

    def watch(process: Process) -> Sequence[Watch]:
        questions = [
            Probe(
                partial(health.answers, model),
                settings.triton_silence_s,
                silence=f"no answer of {model}, and no progress,",
                progress=partial(health.progress, model),
            )
            for model in (PREPROCESS, POSTPROCESS, ENGINE)
        ]
        generation = Probe(
            health.generates,
            settings.generation_silence_s,
            silence="no generation has ended, and no step of the engine,",
            progress=partial(health.progress, ENGINE),
        )
        return (ModelProcesses(process.pid), *questions, generation)

    server = Server(
        "tritonserver", start, health.is_ready, watch, launch.start_s, lambda: heartbeat.num_running
    )
    supervisor.keep(server, "starting tritonserver")
    return health.served_model_name()


def start_frontend(supervisor: Supervisor, settings: ServeSettings, heartbeat: Heartbeat) -> None:
    """Returns once it answers."""
    running = new_memory()

    def start() -> Process:
        return Process(
            "frontend",
            [sys.executable, "-m", "frontend"],
            os.environ | {HEARTBEAT_VARIABLE: str(heartbeat.fd), RUNNING_IDS_VARIABLE: str(running)},
            log=frontend_log(settings),
            grace_s=settings.shutdown_grace_s + STOP_MARGIN_S,
            # Without the supervisor tritonserver goes too, so there is nothing to finish.
            orphan_signal=signal.SIGKILL,
            inherited=(heartbeat.fd, running),
        )

    def is_live() -> bool:
        return frontend_answers(settings.url, "/health/live")

    def watch(_: Process) -> Sequence[Watch]:
        silence = "its event loop has not turned"
        return (Beats(lambda: heartbeat.last, FRONTEND_SILENCE_S, silence),)

    server = Server(
        "frontend", start, is_live, watch, FRONTEND_START_S, num_running=lambda: heartbeat.num_running
    )
    supervisor.keep(server, "starting the frontend")
    supervisor.wait_until(
        lambda: frontend_answers(settings.url, "/health/ready"), "waiting for the frontend to see the model"
    )


def tritonserver_log(settings: ServeSettings, logs: Path = LOGS) -> Path:
    """By its port: another server of this folder has another one."""
    return logs / f"tritonserver-{settings.grpc_port}.log"


def frontend_log(settings: ServeSettings) -> Path:
    return LOGS / f"frontend-{settings.port}.log"


def shown_logs(
    settings: ServeSettings, variables: Mapping[str, str], say: Callable[[str], None]
) -> ShownLogs:
    """The servers' logs, of which the screen gets warnings and errors, or everything with VERBOSE=1."""
    paths = [tritonserver_log(settings), frontend_log(settings)]
    return ShownLogs(paths, variables.get("VERBOSE", "") not in ("", "0"), say)


def greeting(settings: ServeSettings, model: str) -> str:
    """What is served and where, who may come in, and a command to try it with."""
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    # Bounded and greedy: a small model that samples freely may ramble for minutes.
    body = json.dumps({"model": model, "messages": messages, "max_tokens": 64, "temperature": 0})
    key = [' -H "Authorization: Bearer $API_KEY"'] if settings.has_keys else []
    curl = " \\\n ".join(
        [
            f"curl {settings.url}/v1/chat/completions",
            *key,
            " -H 'Content-Type: application/json'",
            f" -d {shlex.quote(body)}",
        ]
    )
    keys = "wanted; the command below takes one from API_KEY" if settings.has_keys else NO_KEYS
    return f"""
{model} is served.
  chat in a browser    {settings.url}/
  chat in a terminal   make chat{"" if settings.port == DEFAULT_PORT else f" PORT={settings.port}"}
  OpenAI's API         {settings.url}/v1, to browse at {settings.url}/docs
  API keys             {keys}
  logs                 {os.path.relpath(LOGS)}; warnings and errors come here too, with VERBOSE=1 everything

{curl}

Ctrl-C stops it, once running requests have ended.
"""


if __name__ == "__main__":
    run(main)
