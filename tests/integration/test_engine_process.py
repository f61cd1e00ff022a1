"""A model behind engine_process on a real tritonserver, and the same one behind the Python backend."""

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scripts.bench.stack import children
from tests.integration.tried_server import TriedServer, start_server, tried_server
from tests.patience import PATIENCE_S, is_gone, wait_until

OWN = "engine_process"
LARGE = 1 << 19


@pytest.fixture(scope="module", params=[OWN, "python"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TriedServer]:
    with tried_server(tmp_path_factory.mktemp("tried"), request.param) as server:
        yield server


def told(server: TriedServer, **arguments: Any) -> dict[str, Any]:
    (answer,) = server.ask("tell", **arguments)
    said: dict[str, Any] = json.loads("".join(map(chr, answer.tensors["same_ints"].ravel())))
    return said


def hosts(server: TriedServer) -> list[int]:
    return children(server.process.pid, "engine_host")


TENSORS = {
    "ints": np.array([[-1, 2, 3]], np.int32),
    "seed": np.array([[2**64 - 1]], np.uint64),
    "flags": np.array([[[True, False]]]),
    "halves": np.array([[0.5, -2.0]], np.float16),
    "floats": np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4),
}


@pytest.mark.parametrize("name", TENSORS)
def test_a_tensor_comes_and_goes_as_it_is(server: TriedServer, name: str) -> None:
    (answer,) = server.ask("echo", **{name: TENSORS[name]})
    assert (answer.is_final, answer.error) == (True, "")
    (returned,) = answer.tensors.values()
    assert returned.dtype == TENSORS[name].dtype
    assert returned.ravel().tolist() == TENSORS[name].ravel().tolist()


def test_several_tensors_come_together(server: TriedServer) -> None:
    (answer,) = server.ask("echo", **TENSORS)
    assert set(answer.tensors) == {f"same_{name}" for name in TENSORS}
    assert answer.tensors["same_floats"].shape == (1, 2, 3, 4)


def test_what_is_not_wanted_does_not_come(server: TriedServer) -> None:
    (answer,) = server.ask("echo", outputs=["same_ints", "same_flags"], **TENSORS)
    assert set(answer.tensors) == {"same_ints", "same_flags"}


def test_a_tensor_of_megabytes(server: TriedServer) -> None:
    ints = np.arange(LARGE, dtype=np.int32).reshape(1, -1)
    (answer,) = server.ask("echo", ints=ints)
    assert np.array_equal(answer.tensors["same_ints"], ints)


def test_a_tensor_without_elements(server: TriedServer) -> None:
    (answer,) = server.ask("echo", ints=np.zeros((1, 0), np.int32))
    assert answer.tensors["same_ints"].shape == (1, 0)


def test_responses_keep_their_order_and_end_without_a_tensor(server: TriedServer) -> None:
    *answers, last = server.ask("count", ints=np.array([[500]], np.int32))
    assert [int(answer.tensors["same_ints"].item()) for answer in answers] == list(range(500))
    assert not any(answer.is_final for answer in answers)
    assert (last.is_final, dict(last.tensors), last.error) == (True, {}, "")


def test_what_the_model_is_told_of_itself_and_of_a_request(server: TriedServer) -> None:
    said = told(server, request_id="chat-1")
    assert (said["model_name"], said["model_version"], said["id"]) == ("tensorrt_llm", "1", "chat-1")
    assert Path(said["model_repository"]).name == "tensorrt_llm"
    assert "same_ints" in said["outputs"]


def test_an_error_ends_the_responses_with_its_text(server: TriedServer) -> None:
    first, last = server.ask("err")
    assert (first.error, last.error) == ("", "that is wrong – truly")


def test_nothing_follows_the_final_response(server: TriedServer) -> None:
    (answer,) = server.ask("say_too_much")
    assert answer.tensors["same_ints"].item() == 1
    assert told(server)["refused"]


def test_a_client_that_leaves_is_noticed(server: TriedServer) -> None:
    call = server.call("wait")
    next(iter(call))
    call.cancel()
    wait_until(lambda: told(server)["cancelled"] == "yes")


def test_a_gauge_is_on_the_metrics_port(server: TriedServer) -> None:
    for value in (7, 8):
        server.ask("set", ints=np.array([[value]], np.int32))
        row = f'tried{{kind="tried",model="tensorrt_llm"}} {value}'
        wait_until(lambda row=row: row in server.metrics(), server.metrics)


def test_times_are_those_of_tritons_clock(server: TriedServer) -> None:
    """Of a clock of its own, one request had waited for 57 years."""
    told(server)
    names = ("nv_inference_queue_duration_us", "nv_inference_request_duration_us")
    wait_until(lambda: all(name in server.metrics() for name in names), server.metrics)
    samples = re.findall(r"^nv_inference_\w+_duration_us\{.*\} (\S+)$", server.metrics(), re.MULTILINE)
    assert max(map(float, samples)) < 1e6 * PATIENCE_S


@pytest.mark.parametrize("server", [OWN], indirect=True)
def test_a_request_that_the_model_chokes_on_fails_alone(server: TriedServer) -> None:
    (answer,) = server.ask("raise")
    assert (answer.is_final, answer.error) == (True, "The model failed to take this request.")
    assert "ValueError: eight" in server.said()
    assert told(server)


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        ("refuse", "there are no weights in /nowhere"),
        ("fail", "ValueError: seven"),
        ("die", "the engine's process ended with status 7"),
    ],
)
def test_a_model_that_can_not_be_loaded_says_why(tmp_path: Path, start: str, reason: str) -> None:
    server = start_server(tmp_path, OWN, start)
    assert server.process.wait(60) != 0
    assert f"failed to load 'tensorrt_llm' version 1: Internal: {reason}" in server.said()


def test_a_process_that_dies_fails_all_requests_and_those_that_come(tmp_path: Path) -> None:
    with tried_server(tmp_path, OWN) as server:
        waiting = server.call("wait")
        next(iter(waiting))
        reason = "the engine's process ended with status 9"
        assert [answer.error for answer in server.ask("die")] == [reason]
        assert [message.error_message for message in waiting] == [reason]
        assert [answer.error for answer in server.ask("tell")] == ["the engine can't be reached"]
        assert server.is_ready()


def test_a_process_that_is_killed_is_named_by_its_signal(tmp_path: Path) -> None:
    with tried_server(tmp_path, OWN) as server:
        waiting = server.call("wait")
        next(iter(waiting))
        (host,) = hosts(server)
        os.kill(host, signal.SIGKILL)
        (message,) = waiting
        assert message.error_message == "the engine's process was ended by signal 9"


def test_the_process_goes_with_tritonserver(tmp_path: Path) -> None:
    with tried_server(tmp_path, OWN) as server:
        (host,) = hosts(server)
        server.process.kill()
        wait_until(lambda: is_gone(host))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_model_that_does_not_come_to_its_end_is_ended(tmp_path: Path, number: signal.Signals) -> None:
    with tried_server(tmp_path, OWN) as server:
        (host,) = hosts(server)
        server.ask("hang_at_the_end")
        server.process.send_signal(number)
        server.process.wait(PATIENCE_S)
        wait_until(lambda: is_gone(host))


def test_a_process_that_has_stopped_is_ended(tmp_path: Path) -> None:
    with tried_server(tmp_path, OWN) as server:
        (host,) = hosts(server)
        os.kill(host, signal.SIGSTOP)
        server.process.terminate()
        assert server.process.wait(PATIENCE_S) == 0
        wait_until(lambda: is_gone(host))
