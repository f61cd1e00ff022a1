import sys
from pathlib import Path

from serving import tritonserver


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


def test_metrics_are_served_where_they_get_a_port() -> None:
    command = tritonserver.command(Path("/models"), 9001, metrics_port=9002)
    wanted = {"--allow-metrics=true", "--metrics-address=127.0.0.1", "--metrics-port=9002"}
    assert wanted <= set(command)


def test_calls_that_nothing_needs_are_closed_by_a_word_that_nobody_can_guess() -> None:
    (closed,) = [part for part in tritonserver.command(Path("/models"), 9001) if "restricted" in part]
    calls, word = closed.split(":admin=")
    assert calls == "--grpc-restricted-protocol=shared-memory,model-repository,trace,logging"
    assert len(set(word)) > 8


def test_the_program_is_there() -> None:
    assert Path(tritonserver.command(Path("/models"), 9001)[0]).is_file()


def test_the_environment_leads_to_this_python_alone() -> None:
    environment = tritonserver.environment({"PATH": "/usr/bin", "PYTHONPATH": "/other", "HOME": "/root"})
    assert environment["PATH"] == f"{sys.prefix}/bin:/usr/bin"
    assert environment["HOME"] == "/root"
    assert "PYTHONPATH" not in environment
    assert environment["PYTHONNOUSERSITE"] == "1"
