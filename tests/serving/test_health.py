import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from typing import Any

import grpc
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from build.paths import ROOT
from serving.health import QUESTIONS, Beats, Probe, Sick, TritonHealth, frontend_answers


class Triton(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Answers what the committed repository declares; refuses tensors of other names or types."""

    def __init__(
        self, is_ready: bool = True, complaint: str = "", fails: grpc.StatusCode | None = None
    ) -> None:
        self._is_ready = is_ready
        self._complaint = complaint
        self._fails = fails
        self.asked: list[str] = []

    def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        return service_pb2.ServerReadyResponse(ready=self._is_ready)

    def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        return service_pb2.ModelReadyResponse(ready=request.name == "ensemble")

    def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        return service_pb2.ModelConfigResponse(config=config(request.name))

    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        self._check(request, context)
        return service_pb2.ModelInferResponse()

    def ModelStreamInfer(self, requests: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        for request in requests:
            self._check(request, context)
            yield service_pb2.ModelStreamInferResponse(error_message=self._complaint)

    def _check(self, request: Any, context: Any) -> None:
        self.asked.append(request.model_name)
        if self._fails:
            context.abort(self._fails, "as told")
        declared = {tensor.name: tensor for tensor in config(request.model_name).input}
        for tensor in request.inputs:
            wire = "STRING" if tensor.datatype == "BYTES" else tensor.datatype
            assert model_config_pb2.DataType.Name(declared.pop(tensor.name).data_type) == f"TYPE_{wire}"
            assert len(tensor.contents.ListFields()) == 1
        assert all(tensor.optional for tensor in declared.values())


def config(model: str) -> Any:
    text = (ROOT / "model_repository" / model / "config.pbtxt").read_text()
    return text_format.Parse(text, model_config_pb2.ModelConfig())


@contextmanager
def served(triton: Triton) -> Iterator[TritonHealth]:
    server = grpc.server(ThreadPoolExecutor(1))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(triton, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield TritonHealth(f"127.0.0.1:{port}")
    server.stop(grace=None).wait()


def test_a_triton_that_is_well() -> None:
    triton = Triton()
    with served(triton) as health:
        assert health.is_ready()
        assert all(health.answers(model) for model in QUESTIONS)
        assert triton.asked == ["preprocess", "postprocess", "tensorrt_llm"]
        assert health.generates()
        assert triton.asked[-1] == "ensemble"
        assert health.served_model_name() == config("ensemble").parameters["served_model_name"].string_value


def test_a_triton_that_has_not_loaded_or_is_gone_is_not_ready() -> None:
    with served(Triton(is_ready=False)) as health:
        assert not health.is_ready()
    assert not health.is_ready()
    assert not health.answers("preprocess")
    assert not health.generates()


def test_a_model_that_has_failed_is_told_by_a_generation_alone() -> None:
    with served(Triton(complaint="Stub process is not healthy.")) as health:
        assert health.answers("preprocess")
        with pytest.raises(Sick, match="Stub process"):
            health.generates()
    with served(Triton(fails=grpc.StatusCode.INTERNAL)) as health:
        assert health.answers("preprocess")


@pytest.mark.parametrize("status", [grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE])
def test_a_model_that_does_not_answer_is_silence(status: grpc.StatusCode) -> None:
    with served(Triton(fails=status)) as health:
        assert not health.answers("preprocess")


def test_a_full_queue_is_no_sickness() -> None:
    with served(Triton(complaint="the queue is full")) as health:
        assert health.generates()


def test_a_frontend_answers_with_200_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/health/live" else 503)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        assert frontend_answers(url, "/health/live")
        assert not frontend_answers(url, "/health/ready")
        server.shutdown()
        thread.join()
    assert not frontend_answers(url, "/health/live")


METRICS = """
nv_inference_request_success{model="preprocess",version="1"} 7
nv_inference_request_success{model="ensemble_ids",version="1"} 3
nv_inference_request_success{model="tensorrt_llm",version="1"} %d
nv_inference_queue_duration_us{model="tensorrt_llm",version="1"} %d
nv_trt_llm_general_metrics{model="tensorrt_llm",version="1",general_type="timestamp"} %d
nv_trt_llm_general_metrics{model="tensorrt_llm",version="1",general_type="iteration_counter"} %d
"""


def test_a_models_progress_is_what_grows_while_it_works() -> None:
    page = ""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        health = TritonHealth("127.0.0.1:1", f"127.0.0.1:{server.server_port}")
        engine, preprocess = [], []
        for numbers in ((5, 1, 1, 1), (5, 2, 2, 1), (6, 2, 2, 1), (6, 2, 2, 2)):
            page = METRICS % numbers
            engine.append(health.progress("tensorrt_llm"))
            preprocess.append(health.progress("preprocess"))
        server.shutdown()
        thread.join()
    # A request counts when it is taken: by a stopped engine, too.
    assert [old != new for old, new in pairwise(engine)] == [False, False, True]
    assert [old != new for old, new in pairwise(preprocess)] == [False, False, False]
    assert health.progress("tensorrt_llm") is None


@pytest.mark.parametrize(
    ("progress", "is_silent"),
    [
        ([1, 2, 3], False), ([1, 2, 2], False), ([1, 1, 1], True), ([None, 1, None], True),
        ([(), (), ()], True),
    ],
)  # fmt: skip
def test_who_makes_progress_may_answer_late(progress: list[object], is_silent: bool) -> None:
    remaining = iter(progress)
    probe = Probe(lambda: False, silence_s=60, interval_s=60, progress=lambda: next(remaining))
    probe.close()
    before = probe._last_answer
    for _ in progress:
        probe._ask()
    assert (probe._last_answer == before) is is_silent


def test_a_sign_of_life_that_stays_away_is_a_complaint() -> None:
    last = time.monotonic()
    beats = Beats(lambda: last, silence_s=30, silence="its loop has not turned")
    assert beats.complaint() is None
    beats._since = last = last - 31
    assert beats.complaint() == "its loop has not turned for 31 s"
    beats.begin_anew()
    assert beats.complaint() is None


def probe_until(answers: list[object], silence_s: float = 60) -> Probe:
    """A probe that has heard all answers: a bool is returned, a text is raised as Sick."""
    heard = threading.Event()
    remaining = iter(answers)

    def check() -> bool:
        answer = next(remaining, None)
        if answer is None:
            heard.set()
            probe.close()
            return False
        if isinstance(answer, str):
            raise Sick(answer)
        return bool(answer)

    probe = Probe(check, silence_s, interval_s=0.01)
    assert heard.wait(30)
    return probe


@pytest.mark.parametrize(
    ("answers", "complaint"),
    [
        ([True, True], None),
        ([False, False, True], None),
        (["a"], None),
        (["a", True, "b"], None),
        (["a", "b"], "b"),
        (["a", False, "b"], "b"),
    ],
)
def test_two_bad_answers_in_a_row_are_a_complaint(answers: list[object], complaint: str | None) -> None:
    assert probe_until(answers).complaint() == complaint


def test_silence_is_a_complaint() -> None:
    assert probe_until([True, False], silence_s=-1).complaint() == "no answer for 0 s"


def test_a_check_that_hangs_is_silence() -> None:
    hangs = threading.Event()
    probe = Probe(hangs.wait, silence_s=0.05, interval_s=0)
    while probe.complaint() is None:
        pass
    probe.close()
    hangs.set()
