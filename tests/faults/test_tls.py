"""The API over TLS, with a certificate of a test's own authority."""

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from scripts.fuzz.raw_exchange import connect, read_answer
from serving.health import frontend_answers
from tests.faults.frontend_process import Frontend, frontend_process
from tests.faults.raw_client import chat_request


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module", params=[1, 2], ids=["one process", "two workers"])
def secured(
    request: pytest.FixtureRequest, authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Frontend]:
    folder = tmp_path_factory.mktemp("tls")
    certificate = authority.issue_cert("api.example")
    certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    files = {"tls_cert_file": folder / "cert.pem", "tls_key_file": folder / "key.pem"}
    settings = {"send_timeout_s": 1, "receive_timeout_s": 1, "workers": request.param}
    with frontend_process(Path(folder / "log"), **settings, **files) as frontend:
        yield frontend


def wrap(client: socket.socket, authority: trustme.CA) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context.wrap_socket(client, server_hostname="api.example")


def test_clients_that_trust_the_certificate_are_answered(secured: Frontend, authority: trustme.CA) -> None:
    with connect(secured.address) as plain, wrap(plain, authority) as client:
        client.sendall(chat_request())
        assert read_answer(client).status == 200


def test_refusals_and_deadlines_hold_under_tls(secured: Frontend, authority: trustme.CA) -> None:
    for data, status in ((b"nonsense\r\n\r\n", 400), (b"GET / HT", 408)):
        with connect(secured.address) as plain, wrap(plain, authority) as client:
            client.sendall(data)
            assert read_answer(client).status == status


def test_plain_http_is_not_answered(secured: Frontend) -> None:
    with connect(secured.address) as client:
        client.sendall(chat_request())
        assert b"HTTP" not in read_rest(client)


def read_rest(client: socket.socket) -> bytes:
    try:
        return client.recv(65536)
    except ConnectionResetError:
        return b""


def test_make_serve_sees_that_it_answers(secured: Frontend) -> None:
    port = secured.address[1]
    assert frontend_answers(f"https://127.0.0.1:{port}", "/health/live")
    assert not frontend_answers(f"http://127.0.0.1:{port}", "/health/live")
