import io

from scripts.download import Download

# As uv 0.13.9 writes where there is no terminal.
LINES = [
    "Using Python 3.11.7 environment at: .venv\n",
    "Resolved 50 packages in 441ms\n",
    "Downloading openvino (56.4MiB)\n",
    "Downloading numpy (17.4MiB)\n",
    " Downloaded numpy\n",
    " Downloaded openvino\n",
    "Prepared 50 packages in 6.51s\n",
    "Installed 50 packages in 117ms\n",
    " + numpy==1.26.4\n",
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_gets_one_line() -> None:
    screen = io.StringIO()
    download = Download(screen)
    for line in LINES:
        download.read(line)
    download.end()
    assert screen.getvalue() == "50 packages installed, 77 MB downloaded in 0 s\n"


def test_what_is_there_already_is_not_called_a_download() -> None:
    screen = io.StringIO()
    download = Download(screen)
    download.read("Installed 1 package in 2ms\n")
    download.end()
    assert screen.getvalue() == "1 packages installed in 0 s\n"


def test_a_terminal_has_one_line_that_grows_and_goes() -> None:
    screen = Terminal()
    download = Download(screen)
    for line in LINES:
        download.read(line)
    download.end()
    drawn = screen.getvalue().split("\r\x1b[K")
    assert "[........................] 0 of 77 MB openvino" in drawn[2]
    assert "[#####...................] 18 of 77 MB openvino" in drawn[3]
    assert "\n" not in "".join(drawn[:-1])
