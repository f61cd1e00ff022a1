import sys
from pathlib import Path

from scripts import tritonserver


def test_only_grpc_is_served_and_only_on_loopback() -> None:
    command = tritonserver.command(Path("/models"), 9001)
    assert {
        "--model-repository=/models",
        "--grpc-address=127.0.0.1",
        "--grpc-port=9001",
        "--allow-http=false",
        "--allow-metrics=false",
        "--model-control-mode=none",
        "--disable-auto-complete-config",
        "--strict-readiness=true",
        "--exit-on-error=true",
        "--trace-config=level=off",
    } <= set(command)


def test_no_two_starts_share_the_word_that_opens_what_is_closed() -> None:
    first, second = (tritonserver.command(Path("/models"), 9001) for _ in range(2))
    (closed,) = set(first) - set(second)
    assert closed.startswith("--grpc-restricted-protocol=shared-memory,model-repository,trace,logging:admin=")


def test_the_program_is_there() -> None:
    assert Path(tritonserver.command(Path("/models"), 9001)[0]).is_file()


def test_the_environment_leads_to_this_python_alone() -> None:
    environment = tritonserver.environment({"PATH": "/usr/bin", "PYTHONPATH": "/other", "HOME": "/root"})
    assert environment["PATH"] == f"{sys.prefix}/bin:/usr/bin"
    assert environment["HOME"] == "/root"
    assert "PYTHONPATH" not in environment
    assert environment["PYTHONNOUSERSITE"] == "1"
