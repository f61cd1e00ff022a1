"""When Triton was away: requests that overlap with that may fail, in the ways that are promised."""

import asyncio


class Outages:
    def __init__(self) -> None:
        self._num = 0
        self._is_over = asyncio.Event()
        self._is_over.set()

    def begin(self) -> None:
        self._num += 1
        self._is_over.clear()

    def end(self) -> None:
        self._is_over.set()

    async def wait_until_over(self) -> None:
        await self._is_over.wait()

    @property
    def num(self) -> int:
        return self._num

    def since(self, num: int) -> bool:
        """Whether there was an outage at any time after `num` was read."""
        return not self._is_over.is_set() or self._num > num
