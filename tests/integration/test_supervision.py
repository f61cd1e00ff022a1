"""What `make serve` does when its servers die or hang: a stack of its own, whose processes get signals."""

import os
import re
import signal
from collections.abc import Iterator

import httpx2 as httpx
import openai
import pytest
from openai.types import Completion

from build.paths import ENGINES
from scripts.bench.stack import children
from scripts.replay.check import words_of
from tests.fakes.clients import openai_client
from tests.integration.live_stack import API_KEY, LiveStack, served_stack
from tests.patience import is_gone, wait_until

# Starting tritonserver takes up to eight seconds.
RECOVERY_S = 180
PROMPT = "Once upon a time"
# What the processes of the models are called by.
COMMANDS = {"preprocess": "/preprocess/1/", "tensorrt_llm": "engine_host.py tensorrt_llm"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    log = tmp_path_factory.mktemp("serve") / "serve.log"
    with served_stack(
        log,
        "tests.integration.serve_impatient",
        ENGINE="replay",
        TOKENS_PER_SECOND="20",
        SHUTDOWN_GRACE_S="20",
        FIRST_TOKEN_TIMEOUT_S="4",
        TOKEN_TIMEOUT_S="4",
        REQUEST_TIMEOUT_S="60",
    ) as stack:
        yield stack


def child(pid: int, part_of_command: str) -> int:
    (found,) = children(pid, part_of_command)
    return found


def client(stack: LiveStack) -> openai.OpenAI:
    return openai_client(stack.url, API_KEY)


def code_of_the_error_at_the_end(stream: "openai.Stream[Completion]") -> str | None:
    with pytest.raises(openai.APIError) as caught:
        for _ in stream:
            pass
    return caught.value.code


def readiness(stack: LiveStack) -> int:
    return httpx.get(f"{stack.url}/health/ready", verify=False).status_code


def generate(stack: LiveStack, max_tokens: int = 4) -> str:
    with client(stack) as api:
        answer = api.completions.create(model=stack.model, prompt=PROMPT, max_tokens=max_tokens)
        return answer.choices[0].text


def generates(stack: LiveStack) -> bool:
    try:
        return bool(generate(stack))
    except (openai.InternalServerError, openai.APIConnectionError):
        return False


def wait_until_it_generates(stack: LiveStack) -> None:
    wait_until(lambda: generates(stack), stack.log.read_text, RECOVERY_S)


@pytest.mark.row(40, 41)
def test_tritonserver_dies_in_the_middle_of_a_stream(stack: LiveStack) -> None:
    with client(stack) as api:
        stream = api.completions.create(model=stack.model, prompt=PROMPT, max_tokens=400, stream=True)
        text = next(stream).choices[0].text
        os.kill(child(stack.process.pid, "tritonserver"), signal.SIGKILL)
        with pytest.raises(openai.APIError) as caught:
            text += "".join(chunk.choices[0].text for chunk in stream)
        assert caught.value.code == "service_unavailable"
        with pytest.raises(openai.InternalServerError) as refused:
            api.completions.create(model=stack.model, prompt=PROMPT)
        assert (refused.value.status_code, refused.value.code) == (503, "service_unavailable")
    assert readiness(stack) == 503
    wait_until_it_generates(stack)
    assert readiness(stack) == 200
    said = stack.log.read_text()
    assert "tritonserver ended with SIGKILL" in said
    assert "starting tritonserver again in" in said
    assert "tritonserver is up again" in said


@pytest.mark.row(40)
def test_the_process_of_a_model_dies(stack: LiveStack) -> None:
    triton = child(stack.process.pid, "tritonserver")
    os.kill(child(triton, COMMANDS["preprocess"]), signal.SIGKILL)
    with pytest.raises((openai.InternalServerError, openai.APIConnectionError)) as caught:
        generate(stack)
    assert getattr(caught.value, "status_code", 503) == 503
    wait_until_it_generates(stack)
    assert "the process of its model preprocess has ended" in stack.log.read_text()


@pytest.mark.row(40, 41, 43)
@pytest.mark.parametrize(
    ("hanging", "complaint"),
    [
        ("tritonserver", r"tritonserver is not well: no answer of \w+, and no progress, for 1\d s"),
        # Triton's Python backend looks after its processes itself: a generation fails before it is late.
        ("preprocess", "tritonserver is not well: .*is not healthy"),
        ("tensorrt_llm", r"tritonserver is not well: no answer of \w+, and no progress, for 1\d s"),
    ],
)
def test_what_hangs_is_killed_and_started_again(stack: LiveStack, hanging: str, complaint: str) -> None:
    """SIGSTOP: its connections stay, and nothing answers on them."""
    triton = child(stack.process.pid, "tritonserver")
    hung = triton if hanging == "tritonserver" else child(triton, COMMANDS[hanging])
    frontend = child(stack.process.pid, "-m frontend")
    said_before = len(stack.log.read_text())
    with client(stack) as api:
        stream = api.completions.create(model=stack.model, prompt=PROMPT, max_tokens=400, stream=True)
        next(stream)
        os.kill(hung, signal.SIGSTOP)
        if hanging == "preprocess":
            # Nothing of a stream that has begun is left to do there.
            stream.close()
        else:
            # At its own deadline, or when the frontend's probe hears that the process is not healthy.
            assert code_of_the_error_at_the_end(stream) in ("timeout", "service_unavailable")
        with pytest.raises(openai.InternalServerError) as refused:
            api.completions.create(model=stack.model, prompt=PROMPT, max_tokens=1, stream=True)
        assert refused.value.status_code in (503, 504)
    wait_until_it_generates(stack)
    assert readiness(stack) == 200
    assert is_gone(triton)
    assert child(stack.process.pid, "-m frontend") == frontend
    said = stack.log.read_text()[said_before:]
    assert re.search(complaint, said), said
    assert "starting tritonserver again in" in said
    assert "tritonserver is up again" in said


def test_the_frontend_dies(stack: LiveStack) -> None:
    os.kill(child(stack.process.pid, "frontend"), signal.SIGKILL)
    wait_until_it_generates(stack)
    assert "frontend is up again" in stack.log.read_text()


@pytest.mark.row(49)
def test_sigterm_lets_streams_finish_and_leaves_nothing_behind(stack: LiveStack) -> None:
    family = {*children(stack.process.pid, ""), *children(child(stack.process.pid, "tritonserver"), "")}
    with client(stack) as api:
        stream = api.completions.create(model=stack.model, prompt=PROMPT, max_tokens=60, stream=True)
        text = next(stream).choices[0].text
        stack.process.terminate()
        text += "".join(chunk.choices[0].text for chunk in stream)
    words = words_of(ENGINES / "smollm2-135m-instruct")
    assert words.is_unbroken(text)
    assert len(text.split()) == 60
    assert stack.process.wait(RECOVERY_S) == 0
    # tritonserver 2.51 does not unload a model whose client left in the very moment of its last response. It
    # gives up after a while then, and what is below it is killed, which may take a moment.
    wait_until(lambda: all(is_gone(pid) for pid in family))
