from pathlib import Path

from scripts.shown_logs import MAX_LINES, ShownLogs
from serving.process import open_new

FRONTEND = "2026-12-01 03:57:00,010 {} frontend.app [-] {}\n"
TRITON = '{}1201 03:56:56.383205 9757 server.cc:241] "{}"\n'


def write(path: Path, *lines: str) -> None:
    with path.open("a") as file:
        file.writelines(lines)


def shown(path: Path, *lines: str, shows_all: bool = False) -> list[str]:
    said: list[str] = []
    with ShownLogs([path], shows_all, said.append):
        open_new(path).close()
        write(path, *lines)
    return said


def test_warnings_and_errors_of_both_servers_are_shown(tmp_path: Path) -> None:
    said = shown(
        tmp_path / "a.log",
        FRONTEND.format("INFO", "quiet"),
        FRONTEND.format("WARNING", "mind"),
        FRONTEND.format("ERROR", "alas"),
        TRITON.format("I", "quiet"),
        TRITON.format("W", "mind"),
        TRITON.format("E", "alas"),
        TRITON.format("E", "CudaDriverHelper has not been initialized."),
        "ValueError: alas\n",
    )
    assert [line.rstrip('"')[-4:] for line in said] == ["mind", "alas", "mind", "alas", "alas"]


def test_verbose_shows_all(tmp_path: Path) -> None:
    lines = [FRONTEND.format("INFO", number) for number in range(3 * MAX_LINES)]
    assert shown(tmp_path / "a.log", *lines, shows_all=True) == [line.rstrip("\n") for line in lines]


def test_a_flood_is_summed_up(tmp_path: Path) -> None:
    said = shown(tmp_path / "a.log", *(FRONTEND.format("ERROR", number) for number in range(100)))
    assert len(said) == MAX_LINES + 1
    assert said[-1] == f"and {100 - MAX_LINES} lines more in {tmp_path / 'a.log'}"


def test_the_log_of_an_earlier_run_is_not_this_ones(tmp_path: Path) -> None:
    write(tmp_path / "a.log", FRONTEND.format("ERROR", "old"))
    with ShownLogs([tmp_path / "a.log"], shows_all=True, say=lambda line: None):
        pass
    assert shown(tmp_path / "a.log", FRONTEND.format("ERROR", "new"))[0].endswith("new")


def test_a_server_that_starts_again_is_followed(tmp_path: Path) -> None:
    said: list[str] = []
    path = tmp_path / "a.log"
    with ShownLogs([path], shows_all=True, say=said.append) as logs:
        for number in range(2):
            open_new(path).close()
            write(path, f"{number}\n")
            logs.show()
    assert said == ["0", "1"]
