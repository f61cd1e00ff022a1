"""Exits with 0 when the Python that runs this file can run the project, else prints why not."""

import os
import sys
import sysconfig
from typing import Optional

OLDEST = (3, 10)
NEWEST = (3, 12)
DISTRIBUTION_PREFIX = "/usr"


def shared_library() -> str:
    """Where this Python's libpython is or would be; Triton's Python stub is linked to it."""
    name = f"libpython{sys.version_info[0]}.{sys.version_info[1]}.so.1.0"
    return os.path.join(sysconfig.get_config_var("LIBDIR"), name)


# Must run on Pythons too old for `str | None`, to refuse them.
def refusal() -> Optional[str]:  # noqa: UP045
    """Why this Python can't be used, or None."""
    version = f"Python {sys.version.split()[0]}"
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        return f"{version} is not 3.10, 3.11 or 3.12"
    # A distribution's Python may lack its library, but then the distribution has the package.
    if not os.path.exists(shared_library()) and sys.base_prefix != DISTRIBUTION_PREFIX:
        return f"{version} was built without {os.path.basename(shared_library())}"
    return None


if __name__ == "__main__":
    sys.exit(refusal())
