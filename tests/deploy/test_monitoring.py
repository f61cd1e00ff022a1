"""Alerts and boards, by Prometheus' own tools, and every query of theirs against a stack that has served."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
import yaml

from build.debian_packages import unpack
from serving import ports
from tests.fakes.clients import openai_client
from tests.integration.live_stack import API_KEY, served_stack
from tests.patience import wait_until

MONITORING = Path(__file__).parents[2] / "deploy" / "monitoring"
BOARDS = sorted((MONITORING / "boards").glob("*.json"))
# What only a GPU, or TensorRT-LLM's C++ backend, tells (docs/metrics.md).
OF_GPUS = ("nv_gpu_", "nv_trt_llm_inflight_batcher_metrics")
# What stands still where nothing fails, and what fires where something does.
OF_FAULTS = ("nv_inference_request_failure", "ALERTS")
SCRAPE_S = 1

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of Debian's prometheus and promtool."""
    folder = tmp_path_factory.mktemp("prometheus")
    unpack(["prometheus"], folder)
    return folder / "usr" / "bin"


def call(*command: str | Path) -> None:
    done = subprocess.run(command, cwd=MONITORING, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_finds_nothing_to_say(prometheus: Path) -> None:
    call(prometheus / "promtool", "check", "config", "prometheus.yaml")
    call(prometheus / "promtool", "test", "rules", "alerts_test.yaml")


def test_every_alert_is_tested_and_explained() -> None:
    groups = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}
    tests = yaml.safe_load((MONITORING / "alerts_test.yaml").read_text())["tests"]
    cases = [case for test in tests for case in test.get("alert_rule_test", [])]
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == alerts
    page = (MONITORING.parents[1] / "docs" / "operations.md").read_text()
    assert set(re.findall(r"`(Llama\w+)`", page)) == alerts


def queries() -> list[tuple[str, str]]:
    """(the board's name, a query), of all that a machine without a GPU tells."""
    return [
        (board.stem, target["expr"].replace("$__rate_interval", f"{4 * SCRAPE_S}s"))
        for board in BOARDS
        for panel in json.loads(board.read_text())["panels"]
        for target in panel["targets"]
        if not any(name in target["expr"] for name in OF_GPUS)
    ]


@contextmanager
def scraping(prometheus: Path, folder: Path, targets: dict[str, str]) -> Iterator[str]:
    """URL of a Prometheus with our rules that scrapes these addresses, by job."""
    config = yaml.safe_load((MONITORING / "prometheus.yaml").read_text())
    config["global"] = {"scrape_interval": f"{SCRAPE_S}s", "evaluation_interval": f"{SCRAPE_S}s"}
    config["rule_files"] = [str(MONITORING / "alerts.yaml")]
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": [targets[job["job_name"]]]}]
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{ports.free()}"
    options = [f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={address}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [prometheus / "prometheus", f"--config.file={folder / 'prometheus.yaml'}", *options],
            stdout=log,
            stderr=log,
        )
        try:
            wait_until(lambda: _is_up(address), (folder / "log").read_text)
            yield f"http://{address}"
        finally:
            process.terminate()
            process.wait()


def _is_up(address: str) -> bool:
    try:
        return httpx.get(f"http://{address}/-/ready").status_code == 200
    except httpx.TransportError:
        return False


def result(url: str, query: str) -> list[Any]:
    answer = httpx.get(f"{url}/api/v1/query", params={"query": query}).json()
    assert answer["status"] == "success", (query, answer)
    found: list[Any] = answer["data"]["result"]
    return found


@pytest.fixture(scope="module")
def served(prometheus: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a Prometheus that has seen a live stack serve for a while."""
    folder = tmp_path_factory.mktemp("monitoring")
    ops_port, metrics_port = ports.free(), ports.free()
    variables = {"OPS_PORT": str(ops_port), "TRITON_METRICS_PORT": str(metrics_port)}
    targets = {"llama-frontend": f"127.0.0.1:{ops_port}", "triton": f"127.0.0.1:{metrics_port}"}
    with (
        served_stack(folder / "serve.log", **variables) as stack,
        scraping(prometheus, folder, targets) as url,
        openai_client(stack.url, API_KEY) as client,
    ):
        deadline = time.monotonic() + 12 * SCRAPE_S
        while time.monotonic() < deadline:
            messages: Any = [{"role": "user", "content": "Tell me about lighthouses, please."}]
            answer: Any = client.chat.completions.create(
                model=stack.model, messages=messages, max_tokens=8, stream=True
            )
            assert list(answer)
        yield url


@pytest.mark.parametrize(("board", "query"), queries())
def test_every_query_finds_series(served: str, board: str, query: str) -> None:
    if any(name in query for name in OF_FAULTS):
        result(served, query)
        return
    wait_until(lambda: result(served, query), lambda: (board, query), 20)


def test_nothing_fires_on_a_healthy_stack(served: str) -> None:
    assert result(served, 'ALERTS{alertstate="firing"}') == []
    assert result(served, "up == 0") == []
