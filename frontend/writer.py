"""What a server may offer the application for streams, beside ASGI's send: writes that are plain calls."""

from typing import Protocol

# In the scope's state, where the server has one for the connection.
WRITER = "writer"


class Writer(Protocol):
    """Takes parts of a body that has begun."""

    def write(self, data: bytes) -> None: ...

    @property
    def is_full(self) -> bool:
        """Whether what is written waits for the client."""

    async def drained(self) -> None:
        """Returns when it no longer does."""
