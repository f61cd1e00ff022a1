"""How it is seen whether the two servers live: `python -m serving.health` asks this machine's Triton.

Life is progress. A server that answers late is busy; it is dead where its process is gone, or where it has
work and nothing of it moves.
"""

import http.client
import ssl
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

ENSEMBLE, PREPROCESS, ENGINE, POSTPROCESS = "ensemble", "preprocess", "tensorrt_llm", "postprocess"
TIMEOUT_S = 2.0
# A megabyte of text keeps preprocess busy for about a second.
ANSWER_TIMEOUT_S = 10.0
# Also for the requests before it, when the engine is full.
GENERATION_TIMEOUT_S = 60.0
INTERVAL_S = 5.0
# After a bad answer; two in a row are a complaint.
RETRY_S = 1.0
OK = 200
# What moves in Triton's metrics while a model works; TensorRT-LLM's steps count long before a request's end.
ENDED, BEGUN, STEPS = (
    "nv_inference_request_success{",
    "nv_inference_exec_count{",
    "nv_trt_llm_general_metrics{",
)
TIMESTAMP = 'general_type="timestamp"'
OF_ENSEMBLES = f'model="{ENSEMBLE}'
_SILENT = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)
# gRPC's own first pause between two attempts to connect is a second.
_RECONNECT = [
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 200),
]


class Sick(Exception):
    """The server answered, and the answer shows a failure that does not pass by itself."""


class Watch(Protocol):
    """One way to see that a server lives."""

    def complaint(self) -> str | None:
        """What is wrong, if it has been wrong for long enough."""

    def begin_anew(self) -> None:
        """Forgets for how long there was silence: the watcher itself was asleep."""

    def close(self) -> None: ...


class Probe:
    """Asks again and again in a thread of its own, since asking may hang.

    Calls `check` until it is closed: True is well, False is no answer, Sick is raised for a bad one.
    """

    def __init__(
        self,
        check: Callable[[], bool],
        silence_s: float,
        interval_s: float = INTERVAL_S,
        silence: str = "no answer",
        progress: Callable[[], object] = lambda: None,
    ) -> None:
        """silence: what a complaint says there was none of; progress: what changes while it works."""
        self._check = check
        self._silence_s = silence_s
        self._silence = silence
        self._interval_s = interval_s
        self._progress = progress
        self._last_progress: object = None
        self._is_over = threading.Event()
        self._bad_answers: list[str] = []
        self._last_answer = time.monotonic()
        threading.Thread(target=self._run, daemon=True).start()

    def begin_anew(self) -> None:
        self._last_answer = time.monotonic()

    def complaint(self) -> str | None:
        if len(self._bad_answers) > 1:
            return self._bad_answers[-1]
        silence_s = time.monotonic() - self._last_answer
        return f"{self._silence} for {silence_s:.0f} s" if silence_s > self._silence_s else None

    def close(self) -> None:
        self._is_over.set()

    def _run(self) -> None:
        while not self._is_over.wait(RETRY_S if self._bad_answers else self._interval_s):
            self._ask()

    def _ask(self) -> None:
        try:
            if self._check():
                self._last_answer = time.monotonic()
                self._bad_answers = []
            elif self._has_progressed():
                self._last_answer = time.monotonic()
        except Sick as sick:
            self._bad_answers = [*self._bad_answers, str(sick)]

    def _has_progressed(self) -> bool:
        before, self._last_progress = self._last_progress, self._progress()
        return None not in (before, self._last_progress) and before != self._last_progress


class Beats:
    """Watches a sign of life that the server gives by itself, at least each second."""

    def __init__(self, last: Callable[[], float], silence_s: float, silence: str) -> None:
        """last: when it came, by the monotonic clock."""
        self._last = last
        self._silence_s = silence_s
        self._silence = silence
        self.begin_anew()

    def complaint(self) -> str | None:
        silence_s = time.monotonic() - max(self._last(), self._since)
        return f"{self._silence} for {silence_s:.0f} s" if silence_s > self._silence_s else None

    def begin_anew(self) -> None:
        self._since = time.monotonic()

    def close(self) -> None:
        """Nothing of it runs."""


class TritonHealth:
    """Asks the tritonserver at `address` (host:port) over gRPC, and reads its metrics."""

    def __init__(self, address: str, metrics_address: str = "") -> None:
        self._metrics_url = f"http://{metrics_address}/metrics"
        channel = grpc.insecure_channel(address, options=_RECONNECT)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)

    def is_ready(self) -> bool:
        """Whether the server and the ensemble are ready."""
        try:
            server = self._stub.ServerReady(service_pb2.ServerReadyRequest(), TIMEOUT_S)
            ensemble = self._stub.ModelReady(service_pb2.ModelReadyRequest(name=ENSEMBLE), TIMEOUT_S)
        except grpc.RpcError:
            return False
        return bool(server.ready and ensemble.ready)

    def answers(self, model: str) -> bool:
        """Whether the model answers a question for which no generation has to end, however full the engine.

        A model that fails is no news here: `generates` tells it with its reason.
        """
        try:
            list(self._stub.ModelStreamInfer(iter([QUESTIONS[model]()]), ANSWER_TIMEOUT_S))
        except grpc.RpcError as error:
            return error.code() not in _SILENT
        return True

    def progress(self, model: str) -> tuple[str, ...] | None:
        """What grows while the model works; None where Triton tells no metrics.

        A request to the engine counts when it is taken, also by one that does nothing any more; so its steps
        count, and the texts that end in either ensemble, for the LLM API's engine tells no steps.
        """
        of_model = OF_ENSEMBLES if model == ENGINE else f'model="{model}"'
        try:
            with _opener().open(self._metrics_url, timeout=ANSWER_TIMEOUT_S) as answer:
                lines = answer.read().decode().splitlines()
        except (OSError, http.client.HTTPException):
            return None
        ended = tuple(line for line in lines if line.startswith(ENDED) and of_model in line)
        steps = (line for line in lines if line.startswith(STEPS) and TIMESTAMP not in line)
        return (*ended, *steps) if model == ENGINE else ended

    def generates(self) -> bool:
        """Whether a generation of one token comes through; raises Sick when it fails within Triton.

        Triton 2.51 says that it is ready even when the process of one of its Python models has died.
        """
        try:
            answers = list(self._stub.ModelStreamInfer(iter([_generation()]), GENERATION_TIMEOUT_S))
        except grpc.RpcError:
            return False
        for answer in answers:
            if answer.error_message and "queue" not in answer.error_message:
                raise Sick(answer.error_message)
        return bool(answers)

    def served_model_name(self) -> str:
        """The name that clients put into "model"."""
        answer = self._stub.ModelConfig(service_pb2.ModelConfigRequest(name=ENSEMBLE), ANSWER_TIMEOUT_S)
        return str(answer.config.parameters["served_model_name"].string_value)


def frontend_answers(url: str, path: str) -> bool:
    """Whether the frontend at the URL, which is on this machine, answers the path of a probe with 200."""
    try:
        with _opener().open(url + path, timeout=ANSWER_TIMEOUT_S) as answer:
            return bool(answer.status == OK)
    except (OSError, http.client.HTTPException):
        return False


def _opener() -> urllib.request.OpenerDirector:
    """Without proxies; the certificate is for the name that clients use, not for this machine's address."""
    unchecked = ssl.create_default_context()
    unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
    return urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=unchecked)
    )


def _generation() -> service_pb2.ModelInferRequest:
    inputs = [_tensor("text_input", "BYTES", bytes_contents=[b"a"]), _number("max_tokens", 1)]
    return _request(ENSEMBLE, inputs, "text_output")


def _tokenizing() -> service_pb2.ModelInferRequest:
    return _request(PREPROCESS, [_tensor("text_input", "BYTES", bytes_contents=[b"a"])], "input_ids")


def _spelling() -> service_pb2.ModelInferRequest:
    ids = _tensor("output_ids", "INT32", shape=[1, 1, 1], int_contents=[0])
    return _request(POSTPROCESS, [ids, _number("sequence_length", 1)], "output_bytes")


def _stop_of_none() -> service_pb2.ModelInferRequest:
    """TensorRT-LLM's stop request, for an id that the engine does not know: it answers this one too."""
    stop = _tensor("stop", "BOOL", bool_contents=[True])
    return _request(ENGINE, [_number("input_lengths", 1), _number("request_output_len", 1), stop])


QUESTIONS = {PREPROCESS: _tokenizing, POSTPROCESS: _spelling, ENGINE: _stop_of_none}


def _request(model: str, inputs: Sequence[Any], *outputs: str) -> service_pb2.ModelInferRequest:
    wanted = [service_pb2.ModelInferRequest.InferRequestedOutputTensor(name=name) for name in outputs]
    request_id = f"health-{uuid.uuid4().hex}"
    return service_pb2.ModelInferRequest(model_name=model, id=request_id, inputs=inputs, outputs=wanted)


def _number(name: str, value: int) -> Any:
    return _tensor(name, "INT32", int_contents=[value])


def _tensor(name: str, datatype: str, shape: Sequence[int] = (1, 1), **contents: Sequence[Any]) -> Any:
    """`contents`: the field of the datatype (InferTensorContents in KServe's protocol)."""
    return service_pb2.ModelInferRequest.InferInputTensor(
        name=name,
        datatype=datatype,
        shape=shape,
        contents=service_pb2.InferTensorContents(**contents),
    )


if __name__ == "__main__":
    sys.exit(not TritonHealth("127.0.0.1:8001").is_ready())
