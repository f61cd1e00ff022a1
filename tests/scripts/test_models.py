import io
from pathlib import Path

from rich.console import Console

from build.engine_folder import ENGINE, MANIFEST
from build.manifest import write_manifest
from scripts.models import engines, print_engines
from tests.build.test_manifest import MANIFEST as BUILT


def printed(folder: Path, width: int = 80) -> str:
    screen = io.StringIO()
    print_engines(list(engines(folder)), Console(file=screen, width=width))
    return screen.getvalue()


def add_engine(folder: Path, size: int) -> None:
    (folder / ENGINE).mkdir(parents=True)
    write_manifest(BUILT, folder)
    (folder / ENGINE / "weights.bin").write_bytes(bytes(size))


def test_engines_are_listed_with_what_to_type_next(tmp_path: Path) -> None:
    add_engine(tmp_path / "llama-3.1-8b-instruct-fp8", 100_000_000)
    add_engine(tmp_path / ".llama.partial-7", 1)
    (tmp_path / "notes").mkdir()
    text = printed(tmp_path)
    assert "100 MB" in text
    assert BUILT.inputs.precision in text
    assert text.endswith("next: make serve NAME=llama-3.1-8b-instruct-fp8, then make chat\n")
    assert "partial" not in text
    assert "notes" not in text


def test_an_engine_of_another_version_is_told(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / MANIFEST).write_text("{}")
    assert "build it again" in printed(tmp_path, width=200)


def test_where_none_is_the_next_step_is_told(tmp_path: Path) -> None:
    assert "make serve" in printed(tmp_path / "nowhere")
