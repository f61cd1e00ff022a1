import socket

import pytest

from build.errors import Failure
from serving import ports


@pytest.mark.parametrize(("text", "port"), [("1", 1), ("8000", 8000), ("65535", 65535)])
def test_parse(text: str, port: int) -> None:
    assert ports.parse("PORT", text) == port


@pytest.mark.parametrize("text", ["0", "65536", "-1", "80x", "8000.0", " 80", "", "٨٠"])
def test_parse_names_the_variable_of_a_bad_value(text: str) -> None:
    with pytest.raises(Failure, match=f"^PORT={text} is not a port"):
        ports.parse("PORT", text)


def test_a_free_port_is_accepted() -> None:
    ports.require_free("PORT", "127.0.0.1", ports.free())


def test_a_taken_port_is_named_with_its_variable_and_another_proposed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(Failure, match=rf"^port {port} is taken; .* TRITON_GRPC_PORT=\d+$"):
            ports.require_free("TRITON_GRPC_PORT", "127.0.0.1", port)


def test_an_address_of_another_machine_is_refused() -> None:
    # 192.0.2.0/24 is reserved for documentation.
    with pytest.raises(Failure, match=r"^nothing can listen on 192\.0\.2\.1:8000"):
        ports.require_free("PORT", "192.0.2.1", 8000)


def test_a_claimed_port_is_nobody_elses_until_it_is_given_back() -> None:
    port = ports.free()
    with ports.claimed({"PORT": port}):
        with (
            pytest.raises(Failure, match=rf"taken port {port}.*for example PORT="),
            ports.claimed({"PORT": port}),
        ):
            pass
        with ports.claimed({"PORT": ports.free()}):
            pass
    with ports.claimed({"PORT": port}):
        pass
