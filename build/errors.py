"""The one way in which a program gives up: a sentence for the user and a non-zero exit."""

import signal
import sys
from collections.abc import Callable

INTERRUPTED = 130


class Failure(Exception):
    """Something the user can act on, as one sentence."""


class BuildError(Failure):
    """Says what is wrong with a model, an engine or an order, and what would be right."""


def run(main: Callable[[], int]) -> None:
    """Exits with what main returns; a Failure becomes a sentence; Ctrl-C and SIGTERM unwind quietly."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        status = main()
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        status = 1
    except OSError as error:
        print(f"error: {error.strerror or error}: {error.filename or 'no file'}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        print("interrupted; the next run takes up where this one left off", file=sys.stderr)
        status = INTERRUPTED
    sys.exit(status)
