"""What the running tritonserver refuses to do for anybody who reaches its port."""

from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.integration.live_stack import LiveStack

LOOPBACK = "0100007F"
LISTENING = "0A"
CLOSED = {
    "SystemSharedMemoryRegister": service_pb2.SystemSharedMemoryRegisterRequest(
        name="a", key="/a", offset=0, byte_size=8
    ),
    "SystemSharedMemoryStatus": service_pb2.SystemSharedMemoryStatusRequest(),
    "CudaSharedMemoryStatus": service_pb2.CudaSharedMemoryStatusRequest(),
    "RepositoryIndex": service_pb2.RepositoryIndexRequest(),
    "RepositoryModelLoad": service_pb2.RepositoryModelLoadRequest(model_name="ensemble"),
    "RepositoryModelUnload": service_pb2.RepositoryModelUnloadRequest(model_name="ensemble"),
    "TraceSetting": service_pb2.TraceSettingRequest(),
    "LogSettings": service_pb2.LogSettingsRequest(),
}


@pytest.mark.parametrize("name", CLOSED)
def test_closed_to_everybody(triton: str, name: str) -> None:
    with grpc.insecure_channel(triton) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            getattr(stub, name)(CLOSED[name])
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert "restricted" in caught.value.details()


def test_listens_on_loopback_alone(live_stack: LiveStack) -> None:
    port = int(live_stack.triton.rpartition(":")[2])
    tables = [Path(f"/proc/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table]
    hosts = {
        row[1].partition(":")[0] for row in rows if row[1].endswith(f":{port:04X}") and row[3] == LISTENING
    }
    # gRPC listens by IPv6 sockets, where an IPv4 address is the end of the row.
    assert {host[-len(LOOPBACK) :] for host in hosts} == {LOOPBACK}
