from pathlib import Path

import pytest

from frontend.settings import Settings, SettingsError, read_settings


def test_defaults_listen_on_loopback_without_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read_settings()
    assert (settings.frontend_host, settings.frontend_port, settings.read_keys()) == ("127.0.0.1", 8000, ())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FRONTEND_PORT", "0"),
        ("FRONTEND_PORT", "http"),
        ("TRITON_GRPC_ADDRESS", "localhost"),
        ("API_KEYS_FILE", "/nowhere/keys"),
        ("FRONTEND_HOST", "0.0.0.0"),
        ("MAX_BODY_BYTES", "-1"),
        ("LOG_LEVEL", "loud"),
        ("RECEIVE_TIMEOUT_S", "0"),
        ("SEND_TIMEOUT_S", "-1"),
        ("IDLE_TIMEOUT_S", "soon"),
        ("TLS_CERT_FILE", "/nowhere/cert.pem"),
        ("TLS_CERT_FILE", __file__),
        ("TLS_KEY_FILE", __file__),
    ],
)
def test_bad_value_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        read_settings()


def test_keys_come_from_variable_and_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("# team a\nthird\n\n")
    monkeypatch.setenv("API_KEYS", "first, second")
    monkeypatch.setenv("API_KEYS_FILE", str(path))
    monkeypatch.setenv("FRONTEND_HOST", "0.0.0.0")
    assert read_settings().read_keys() == ("first", "second", "third")


def test_keys_do_not_show_in_the_representation() -> None:
    assert "secret" not in repr(Settings(api_keys=("secret",)))


def test_file_without_a_key_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("# none\n")
    with pytest.raises(SettingsError, match="API_KEYS_FILE"):
        Settings(api_keys_file=path).read_keys()


def test_tls_needs_a_certificate_and_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLS_CERT_FILE", __file__)
    monkeypatch.setenv("TLS_KEY_FILE", __file__)
    with pytest.raises(
        SettingsError, match=r"^TLS_CERT_FILE and TLS_KEY_FILE are no certificate and its key"
    ):
        read_settings()
