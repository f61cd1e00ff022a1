import stat
import threading
from pathlib import Path

import pytest

from frontend.keys import command as keys
from frontend.keys.key import KeyFileError, digest, read_key_file


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "keys.json"
    monkeypatch.setenv("API_KEYS_FILE", str(path))
    return path


def create(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    keys.main(["create", *arguments])
    return capsys.readouterr().out.strip()


def test_a_key_is_made_with_its_limits_and_stored_as_a_digest(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = ["--requests-per-minute", "60", "--tokens-per-minute", "5000", "--concurrency", "4"]
    key = create(capsys, "team-a", *limits)
    (stored,) = read_key_file(file).keys
    assert (stored.name, stored.sha256) == ("team-a", digest(key))
    assert (stored.limits_per_minute, stored.concurrency) == ((60, 5000), 4)
    assert len(key) > 40
    assert key not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_keys_are_listed_and_revoked(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = create(capsys, "team-a", "--concurrency", "4")
    create(capsys, "team-b")
    keys.main(["list"])
    text = capsys.readouterr().out
    assert [line.split()[0] for line in text.splitlines()] == ["name", "team-a", "team-b"]
    assert first not in text
    assert digest(first) not in text
    keys.main(["revoke", "team-a"])
    assert [key.name for key in read_key_file(file).keys] == ["team-b"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["create", "team-a"], "same name"),
        (["create", "a b"], "name"),
        (["create", ""], "name"),
        (["create", "x" * 65], "name"),
        (["create", "new", "--concurrency", "0"], "concurrency"),
        (["create", "new", "--tokens-per-minute", "-1"], "tokens_per_minute"),
        (["revoke", "nobody"], "nobody"),
        (["migrate"], "already"),
    ],
)
def test_what_cannot_be_done_changes_nothing(file: Path, arguments: list[str], reason: str) -> None:
    keys.main(["create", "team-a"])
    before = file.read_bytes()
    with pytest.raises(KeyFileError, match=reason):
        keys.main(arguments)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_list_of_plain_keys_becomes_a_key_file(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("# team a\nfirst-key-of-20-chars\n\nshort\nfirst-key-of-20-chars\n")
    file.chmod(0o644)
    with pytest.raises(KeyFileError, match="migrate"):
        keys.main(["list"])
    keys.main(["migrate"])
    found = {key.name: key.sha256 for key in read_key_file(file).keys}
    assert found == {"key-1": digest("first-key-of-20-chars"), "key-2": digest("short")}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    shown = capsys.readouterr()
    assert "1 of them" in shown.err
    assert "short\n" not in shown.out + shown.err


def test_a_link_stays_a_link(file: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere.json"
    target.write_text('{"keys": []}')
    file.symlink_to(target)
    keys.main(["create", "team-a"])
    assert file.is_symlink()
    assert [key.name for key in read_key_file(target).keys] == ["team-a"]


def test_commands_at_the_same_time_lose_no_key(file: Path) -> None:
    names = {f"team-{index}" for index in range(20)}
    threads = [threading.Thread(target=keys.main, args=(["create", name],)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {key.name for key in read_key_file(file).keys} == names


def test_without_a_file_the_command_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("API_KEYS_FILE", raising=False)
    with pytest.raises(KeyFileError, match="API_KEYS_FILE"):
        keys.main(["list"])


def test_the_settings_file_may_name_the_key_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "keys.json"
    settings = tmp_path / "serve.env"
    settings.write_text(f"PORT=9000\nAPI_KEYS_FILE={path}\n")
    monkeypatch.setenv("API_KEYS_FILE", "")
    monkeypatch.setenv("SETTINGS_FILE", str(settings))
    create(capsys, "team-a")
    assert [key.name for key in read_key_file(path).keys] == ["team-a"]
