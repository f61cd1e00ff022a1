import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from build.errors import Failure
from serving import ports
from serving import settings as serve_settings
from serving.settings import ServeSettings


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_KEYS", "API_KEYS_FILE"):
        monkeypatch.setenv(name, "")


def settings(host: str = "127.0.0.1", port: int = 8000, grpc_port: int = 8001) -> ServeSettings:
    return ServeSettings(host, port, grpc_port, 8002, has_keys=False, shutdown_grace_s=30)


def test_defaults() -> None:
    variables: dict[str, str] = {}
    read = serve_settings.read(variables)
    assert replace(read, metrics_port=8002) == settings()
    # Any that is free: several servers of one machine do not meet.
    assert read.metrics_port not in (read.port, read.grpc_port)
    assert variables == {
        "FRONTEND_HOST": "127.0.0.1",
        "FRONTEND_PORT": "8000",
        "TRITON_GRPC_ADDRESSES": "127.0.0.1:8001",
        "TRITON_METRICS_ADDRESSES": f"127.0.0.1:{read.metrics_port}",
    }


def test_the_metrics_port_is_one_of_its_own() -> None:
    given = serve_settings.read({"TRITON_GRPC_PORT": "9001", "TRITON_METRICS_PORT": "9001"})
    assert given.metrics_port == 9001
    free = settings(port=ports.free(), grpc_port=ports.free())
    with pytest.raises(Failure, match=r"^TRITON_METRICS_PORT=.* is another server's"):
        replace(free, metrics_port=free.grpc_port).require_free_ports()


def test_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEYS", "a-key-of-16-chars,another-of-them-")
    given = serve_settings.read({"HOST": "0.0.0.0", "PORT": "9000", "TRITON_GRPC_PORT": "9001"})
    assert (given.host, given.port, given.grpc_port, given.has_keys) == ("0.0.0.0", 9000, 9001, True)


def test_silence() -> None:
    assert serve_settings.read({"GENERATION_SILENCE_S": "1e3"}).generation_silence_s == 1000


def settings_file(folder: Path, text: str) -> str:
    path = folder / "serve.env"
    path.write_text(text)
    return str(path)


def test_a_file_completes_the_variables(tmp_path: Path) -> None:
    file = settings_file(tmp_path, "PORT=9000\nWORKERS=2\nNAME=mine\nTODAY_DATE='1 Dec 2026'\n")
    variables = {"SETTINGS_FILE": file, "WORKERS": "3", "PORT": ""}
    serve_settings.complete(variables)
    assert variables == {
        "SETTINGS_FILE": os.devnull,
        "PORT": "9000",
        "WORKERS": "3",
        "NAME": "mine",
        "TODAY_DATE": "1 Dec 2026",
    }


@pytest.mark.parametrize("name", ["PROT", "port", "FRONTEND_PORT", "TRITON_GRPC_ADDRESSES", "SETTINGS_FILE"])
def test_an_unknown_name_in_the_file_stops_the_start(tmp_path: Path, name: str) -> None:
    file = settings_file(tmp_path, f"PORT=9000\n{name}=9001\n")
    with pytest.raises(Failure, match=rf"^{name} in .*serve\.env: there is no such setting$"):
        serve_settings.complete({"SETTINGS_FILE": file})


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"PORT": "x"}, "PORT=x"),
        ({"TRITON_GRPC_PORT": "0"}, "TRITON_GRPC_PORT=0"),
        ({"TRITON_METRICS_PORT": "x"}, "TRITON_METRICS_PORT=x"),
        ({"HOST": "0.0.0.0"}, "HOST"),
        ({"GENERATION_SILENCE_S": "9.9"}, "GENERATION_SILENCE_S=9.9 is no number of seconds, 10 at least"),
        ({"GENERATION_SILENCE_S": "nan"}, "GENERATION_SILENCE_S=nan"),
        ({"GENERATION_SILENCE_S": "inf"}, "GENERATION_SILENCE_S=inf"),
        ({"GENERATION_SILENCE_S": "5 minutes"}, "GENERATION_SILENCE_S=5 minutes"),
    ],
)
def test_a_bad_value_is_named(variables: dict[str, str], named: str) -> None:
    with pytest.raises(Failure, match=f"^{named}"):
        serve_settings.read(variables)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("localhost", "http://localhost:8000"),
    ],
)
def test_url(host: str, url: str) -> None:
    assert settings(host).url == url


def test_url_with_tls() -> None:
    assert replace(settings(), has_tls=True).url == "https://127.0.0.1:8000"


def test_ports_must_differ() -> None:
    with pytest.raises(Failure, match=r"^PORT and TRITON_GRPC_PORT are both 8000"):
        settings(grpc_port=8000).require_free_ports()


def test_both_ports_are_tried() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        with pytest.raises(Failure, match=" PORT="):
            settings(port=taken, grpc_port=ports.free()).require_free_ports()
        with pytest.raises(Failure, match=r" TRITON_GRPC_PORT="):
            settings(port=ports.free(), grpc_port=taken).require_free_ports()
