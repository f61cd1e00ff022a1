import os
import stat
from pathlib import Path

import pytest

from frontend.settings_file import SettingsError, read_settings_file

NAMES = {"PORT", "NAME", "API_KEYS"}


def read(path: Path, **variables: str) -> dict[str, str]:
    return read_settings_file(NAMES, {"SETTINGS_FILE": str(path), **variables})


def written(folder: Path, text: str, mode: int = 0o644) -> Path:
    path = folder / "serve.env"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_lines_are_those_of_an_env_file(tmp_path: Path) -> None:
    path = written(tmp_path, "# where\nPORT=9000 # ours\n\nexport NAME='a # b'\nAPI_KEYS=\n")
    assert read(path) == {"PORT": "9000", "NAME": "a # b", "API_KEYS": ""}


def test_what_a_variable_says_wins(tmp_path: Path) -> None:
    path = written(tmp_path, "PORT=9000\nNAME=file\n")
    assert read(path, PORT="9001", NAME="") == {"NAME": "file"}


def test_a_value_is_taken_as_it_stands(tmp_path: Path) -> None:
    assert read(written(tmp_path, "NAME=a${PORT}b\n"))["NAME"] == "a${PORT}b"


def test_without_a_name_the_file_is_the_env_file_of_the_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_settings_file(NAMES, {}) == {}
    (tmp_path / ".env").write_text("PORT=9000\n")
    assert read_settings_file(NAMES, {"SETTINGS_FILE": ""}) == {"PORT": "9000"}


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^SETTINGS_FILE: there is no file .*serve\.env$"):
        read(tmp_path / "serve.env")


def test_all_unknown_names_are_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^HOTS, PROT in .*serve\.env: there is no such setting$"):
        read(written(tmp_path, "PROT=1\nNAME=a\nHOTS=b\n"))


@pytest.mark.parametrize("line", ["PORT", "sk-secret", "NAME='a", "=secret"])
def test_a_line_that_sets_nothing_is_told_by_its_number(tmp_path: Path, line: str) -> None:
    with pytest.raises(SettingsError, match=r"serve\.env, line 2: this is not NAME=value$") as caught:
        read(written(tmp_path, f"PORT=9000\n{line}\n"))
    assert "secret" not in str(caught.value)


def test_a_name_that_is_set_twice_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^PORT in .*serve\.env: it is set twice$"):
        read(written(tmp_path, "PORT=1\nPORT=2\n"))


@pytest.mark.parametrize("content", [b"NAME=\xff\n", None], ids=["no UTF-8", "a folder"])
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "serve.env"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"serve\.env can't be read: "):
        read(path)


@pytest.mark.parametrize("mode", [0o644, 0o602], ids=lambda mode: stat.filemode(mode)[1:])
def test_keys_in_a_file_of_everybody_stop_the_start(tmp_path: Path, mode: int) -> None:
    with pytest.raises(SettingsError, match=r"^API_KEYS in .*chmod 600") as caught:
        read(written(tmp_path, "API_KEYS=sk-secret\n", mode))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o600, 0o640], ids=lambda mode: stat.filemode(mode)[1:])
def test_keys_in_a_file_of_ones_own_are_read(tmp_path: Path, mode: int) -> None:
    assert read(written(tmp_path, "API_KEYS=sk-secret\n", mode)) == {"API_KEYS": "sk-secret"}


def test_the_null_device_is_an_empty_file() -> None:
    assert read(Path(os.devnull)) == {}
