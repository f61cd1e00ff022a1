import json
from pathlib import Path

import pytest

from frontend.keys.key import digest
from frontend.settings import Settings, read_settings
from frontend.settings_file import SettingsError


def test_defaults_listen_on_loopback_without_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read_settings()
    assert (settings.frontend_host, settings.frontend_port, settings.read_keys()) == ("127.0.0.1", 8000, ())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FRONTEND_PORT", "0"),
        ("FRONTEND_PORT", "http"),
        ("TRITON_GRPC_ADDRESSES", "localhost"),
        ("TRITON_GRPC_ADDRESSES", "a:1,b:0"),
        ("TRITON_GRPC_ADDRESSES", "http://triton:8001"),
        ("TRITON_GRPC_ADDRESSES", ","),
        ("FIRST_TOKEN_TIMEOUT_S", "0"),
        ("TOKEN_TIMEOUT_S", "-1"),
        ("REQUEST_TIMEOUT_S", "soon"),
        ("API_KEYS_FILE", "/nowhere/keys"),
        ("FRONTEND_HOST", "0.0.0.0"),
        ("MAX_BODY_BYTES", "-1"),
        ("MAX_CONCURRENT_REQUESTS", "0"),
        ("MAX_QUEUED_REQUESTS", "-1"),
        ("QUEUE_TIMEOUT_S", "0"),
        ("LOG_LEVEL", "loud"),
        ("RECEIVE_TIMEOUT_S", "0"),
        ("SEND_TIMEOUT_S", "-1"),
        ("IDLE_TIMEOUT_S", "soon"),
        ("TLS_CERT_FILE", "/nowhere/cert.pem"),
        ("TLS_CERT_FILE", __file__),
        ("TLS_KEY_FILE", __file__),
        ("CORS_ORIGINS", "app.example.com"),
        ("CORS_ORIGINS", "https://app.example.com/"),
        ("CORS_ORIGINS", "https://a.example.com,https://*.example.com"),
        ("CORS_ORIGINS", "null"),
    ],
)
def test_bad_value_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        read_settings()


def test_origins_are_as_browsers_send_them(monkeypatch: pytest.MonkeyPatch) -> None:
    origins = (
        "https://app.example.com",
        "http://localhost:3000",
        "http://[::1]:8080",
        "tauri://localhost",
        "*",
    )
    monkeypatch.setenv("CORS_ORIGINS", ", ".join(origins))
    assert read_settings().cors_origins == origins


def test_a_file_says_what_the_environment_does_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "frontend.env"
    path.write_text("LOG_LEVEL=debug\nMAX_CHOICES=4\nAPI_KEYS=0123456789abcdef, second-0123456789\n")
    path.chmod(0o600)
    monkeypatch.setenv("SETTINGS_FILE", str(path))
    monkeypatch.setenv("MAX_CHOICES", "5")
    monkeypatch.setenv("LOG_LEVEL", "")
    settings = read_settings()
    assert (settings.log_level, settings.max_choices) == ("debug", 5)
    assert settings.api_keys == ("0123456789abcdef", "second-0123456789")


def test_a_bad_value_in_the_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "frontend.env"
    path.write_text("LOG_LEVEL=loud\n")
    monkeypatch.setenv("SETTINGS_FILE", str(path))
    with pytest.raises(SettingsError, match=r"^LOG_LEVEL: "):
        read_settings()


def test_keys_come_from_variable_and_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": [{"name": "team-a", "sha256": digest("third")}]}))
    monkeypatch.setenv("API_KEYS", "0123456789abcdef, second-0123456789")
    monkeypatch.setenv("API_KEYS_FILE", str(path))
    monkeypatch.setenv("FRONTEND_HOST", "0.0.0.0")
    keys = {key.name: key.sha256 for key in read_settings().read_keys()}
    assert keys == {
        "api-keys-1": digest("0123456789abcdef"),
        "api-keys-2": digest("second-0123456789"),
        "team-a": digest("third"),
    }


def test_keys_do_not_show_in_the_representation() -> None:
    settings = Settings(api_keys=("secret",))
    assert "secret" not in repr(settings)
    assert digest("secret") not in repr(settings.read_keys())


def test_short_keys_are_for_loopback_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEYS", "0123456789abcde")
    read_settings()
    monkeypatch.setenv("FRONTEND_HOST", "0.0.0.0")
    with pytest.raises(SettingsError, match="API_KEYS") as caught:
        read_settings()
    assert "0123456789abcde" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"keys": []}', "holds no key"),
        ("# team a\nsome-plain-key\n", "not JSON"),
        ('{"keys": [{"name": "a", "sha256": "ab"}]}', "keys.0.sha256"),
        ('{"keys": [{"name": "a b", "sha256": "%s"}]}' % ("0" * 64), "keys.0.name"),
        ('{"keys": [{"name": "a", "sha256": "%s", "limit": 3}]}' % ("0" * 64), "keys.0.limit"),
        ('{"keys": [{"name": "a", "sha256": "%s", "concurrency": 0}]}' % ("0" * 64), "keys.0.concurrency"),
        (json.dumps({"keys": [{"name": "a", "sha256": "0" * 64}] * 2}), "same name"),
        (json.dumps({"keys": [{"name": name, "sha256": "0" * 64} for name in "ab"]}), "same sha256"),
        ("[]", "keys"),
    ],
)
def test_a_file_that_is_no_key_file_stops_the_start(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"^API_KEYS_FILE: ") as caught:
        Settings(api_keys_file=path).read_keys()
    assert reason in str(caught.value)
    assert "some-plain-key" not in str(caught.value)


def test_tls_needs_a_certificate_and_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLS_CERT_FILE", __file__)
    monkeypatch.setenv("TLS_KEY_FILE", __file__)
    with pytest.raises(
        SettingsError, match=r"^TLS_CERT_FILE and TLS_KEY_FILE are no certificate and its key"
    ):
        read_settings()
