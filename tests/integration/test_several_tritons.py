"""One frontend in front of two real tritonservers, which are killed in the middle of streams."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving import ports
from tests.fakes.clients import openai_client
from tests.integration.live_stack import REPOSITORY, LiveStack, served_stack, wait_until_ready
from tests.integration.test_supervision import child
from tests.patience import wait_until

pytestmark = pytest.mark.slow

NUM_STREAMS = 8
NUM_TOKENS = 80
TOKENS_PER_SECOND = 20
# make serve starts a dead tritonserver again, which takes about eight seconds.
RECOVERY_S = 180
PROMPT = "Once upon a time"


@dataclass(frozen=True)
class Pair:
    url: str
    model: str
    log: Path
    stacks: tuple[LiveStack, LiveStack]
    metrics: Sequence[str]
    """host:port of each Triton's own."""

    def client(self) -> openai.OpenAI:
        return openai_client(self.url, "none")

    def num_times_in_service(self, stack: LiveStack) -> int:
        return self.log.read_text().count(f"{stack.triton} serves")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("pair")
    variables = {"ENGINE": "replay", "TOKENS_PER_SECOND": str(TOKENS_PER_SECOND)}
    metrics_ports = [ports.free(), ports.free()]
    metrics = [f"127.0.0.1:{number}" for number in metrics_ports]
    with (
        served_stack(folder / "first.log", **variables, TRITON_METRICS_PORT=str(metrics_ports[0])) as first,
        served_stack(folder / "second.log", **variables, TRITON_METRICS_PORT=str(metrics_ports[1])) as second,
    ):
        port = ports.free()
        log = folder / "frontend.log"
        addresses = {
            "FRONTEND_PORT": str(port),
            "TRITON_GRPC_ADDRESSES": f"{first.triton},{second.triton}",
            "TRITON_METRICS_ADDRESSES": ",".join(metrics),
        }
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "frontend"],
                cwd=REPOSITORY,
                env=os.environ | addresses,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            try:
                url = f"http://127.0.0.1:{port}"
                wait_until_ready(process, url, log)
                yield Pair(url, first.model, log, (first, second), metrics)
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(40)


def generate(pair: Pair) -> str:
    with pair.client() as api:
        answer = api.completions.create(model=pair.model, prompt=PROMPT, max_tokens=4)
        return answer.choices[0].text


def stream(pair: Pair, started: threading.Semaphore) -> int | None:
    """How many words came, one a token, or None when an error frame ended them."""
    with pair.client() as api:
        chunks = api.completions.create(model=pair.model, prompt=PROMPT, max_tokens=NUM_TOKENS, stream=True)
        text = ""
        try:
            for chunk in chunks:
                if not text:
                    started.release()
                text += chunk.choices[0].text
        except openai.APIError as error:
            if error.code != "service_unavailable":
                raise
            return None
        return len(text.split())


def kill_tritonserver(stack: LiveStack) -> None:
    os.kill(child(stack.process.pid, "bin/tritonserver"), signal.SIGKILL)


def wait_until_in_service(pair: Pair, stack: LiveStack, num_times: int) -> None:
    wait_until(lambda: pair.num_times_in_service(stack) >= num_times, pair.log.read_text, RECOVERY_S)


def test_a_killed_server_costs_its_own_streams_alone_and_comes_back(pair: Pair) -> None:
    first, second = pair.stacks
    wait_until_in_service(pair, first, 1)
    wait_until_in_service(pair, second, 1)
    started = threading.Semaphore(0)
    with ThreadPoolExecutor(NUM_STREAMS) as pool:
        streams = [pool.submit(stream, pair, started) for _ in range(NUM_STREAMS)]
        for _ in streams:
            assert started.acquire(timeout=30)
        kill_tritonserver(first)
        # Nobody who comes now notices.
        assert all(generate(pair) for _ in range(NUM_STREAMS))
        ends = [running.result() for running in streams]
    whole = [num_words for num_words in ends if num_words is not None]
    assert whole == [NUM_TOKENS] * (NUM_STREAMS // 2)
    # Back without a restart of the frontend, and able to stand in for the other.
    wait_until_in_service(pair, first, 2)
    kill_tritonserver(second)
    assert all(generate(pair) for _ in range(NUM_STREAMS))
    wait_until_in_service(pair, second, 2)


def test_each_server_has_metrics_of_its_own(pair: Pair) -> None:
    """Also those of one that was started again."""
    text = httpx.get(f"{pair.url}/metrics/triton").text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    for name in ("nv_inference_count", "nv_trt_llm_kv_cache_block_metrics"):
        assert {sample.labels["endpoint"] for sample in families[name].samples} == set(pair.metrics)
    text = httpx.get(f"{pair.url}/metrics").text
    (usage,) = (
        family for family in text_string_to_metric_families(text) if family.name == "vllm:kv_cache_usage_perc"
    )
    assert {sample.labels["engine"] for sample in usage.samples} == {"0", "1"}
