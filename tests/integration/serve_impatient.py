"""What `make serve` starts, but a silence of ten seconds is a hang."""

import os
from dataclasses import replace

from build.errors import run
from scripts.serve import serve
from serving import settings as serve_settings

SILENCE_S = 10


def main() -> int:
    return serve(replace(serve_settings.read(os.environ), triton_silence_s=SILENCE_S))


if __name__ == "__main__":
    run(main)
