import sys
from pathlib import Path

import pytest

from build.paths import VENV
from serving import tritonserver
from serving.tritonserver import image_environment


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


def test_the_images_packages_come_first_on_the_path(tmp_path: Path) -> None:
    """Also for whom .venv is activated, as make does it."""
    packages = tmp_path / "venv-tritonserver"
    packages.mkdir()
    inherited = {"PATH": f"{VENV}/bin:/usr/bin", "VIRTUAL_ENV": str(VENV), "HOME": str(tmp_path), "A": "1"}
    environment = image_environment(inherited, packages)
    assert environment == {"PATH": f"{packages}/bin:/usr/bin", "HOME": str(tmp_path), "A": "1"}


@pytest.mark.parametrize("given", [{}, {"HOME": "/proc/nowhere"}, {"HOME": ""}])
def test_who_has_no_home_to_write_to_gets_one(tmp_path: Path, given: dict[str, str]) -> None:
    environment = image_environment({"PATH": "/usr/bin", **given}, home=tmp_path / "cache" / "home")
    assert environment["HOME"] == str(tmp_path / "cache" / "home")
    assert (tmp_path / "cache" / "home").is_dir()
