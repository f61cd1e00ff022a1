from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from serving.node.node_health import is_ready


class Triton(service_pb2_grpc.GRPCInferenceServiceServicer):
    def __init__(self, has_loaded: bool) -> None:
        self._has_loaded = has_loaded

    def ServerReady(self, request: object, context: object) -> service_pb2.ServerReadyResponse:  # noqa: N802
        return service_pb2.ServerReadyResponse(ready=self._has_loaded)


@contextmanager
def triton(has_loaded: bool) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(1))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Triton(has_loaded), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(grace=None).wait()


@pytest.mark.parametrize("has_loaded", [True, False])
def test_ready_is_what_the_server_says(has_loaded: bool) -> None:
    with triton(has_loaded) as address:
        assert is_ready(address) is has_loaded


def test_a_server_that_is_gone_is_not_ready() -> None:
    with triton(has_loaded=True) as address:
        pass
    assert not is_ready(address)
