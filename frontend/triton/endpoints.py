"""The Tritons that serve: their addresses, their health, and that all of them serve the same model."""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from dataclasses import fields
from typing import Any

from frontend.addresses import Name
from frontend.errors import EngineFailed, EngineUnavailable
from frontend.triton.deadlines import Sweeper
from frontend.triton.endpoint import Endpoint
from frontend.triton.model import ServedModel
from frontend.triton.running_ids import RunningIds

logger = logging.getLogger(__name__)

PROBE_INTERVAL_S = 2.0
STOP_PAUSES_S = (0.1, 1.0, 3.0)
# Thousands may be left, and new requests come beside them.
STOPS_AT_ONCE = 64


class Endpoints:
    """An endpoint for each address; those that work and serve what the others serve are usable."""

    def __init__(self, targets: Sequence[str], model: str, running: RunningIds) -> None:
        self._running = running
        self._names = [Name(target) for target in targets]
        self._model = model
        self._sweeper = Sweeper()
        self._endpoints: dict[str, Endpoint] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Probes them from now on."""
        self._start(self._probe_for_ever())
        if left := self._running.take_over():
            logger.warning("%d generations of a frontend that has died are stopped", len(left))
            self._start(self._stop(left))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*(endpoint.close() for endpoint in self._endpoints.values()))

    @property
    def usable(self) -> list[Endpoint]:
        return [endpoint for endpoint in self._endpoints.values() if endpoint.served is not None]

    def health(self) -> dict[str, bool]:
        """Address -> whether it is usable."""
        return {address: endpoint.served is not None for address, endpoint in self._endpoints.items()}

    async def require_usable(self) -> list[Endpoint]:
        """Asks all of them when none is known to work; raises EngineUnavailable."""
        if not self.usable:
            await self.probe()
        if usable := self.usable:
            return usable
        raise EngineUnavailable("The engine is not available.")

    async def served_model(self) -> ServedModel:
        """What all that are usable serve; another object after all of them were away."""
        served = (await self.require_usable())[0].served
        assert served is not None  # noqa: S101 - it is usable
        return served

    async def probe(self) -> bool:
        """Whether one works, asked now: true with the first that does, false when the last does not."""
        await self._resolve()
        for probe in asyncio.as_completed([endpoint.probe() for endpoint in self._endpoints.values()]):
            if await probe:
                return True
        return False

    async def _probe_for_ever(self) -> None:
        while True:
            try:
                await self._resolve()
                await asyncio.gather(*(endpoint.probe() for endpoint in self._endpoints.values()))
            except Exception:
                # The task's outermost boundary: without it no endpoint would ever come back.
                logger.exception("probing Triton failed")
            await asyncio.sleep(PROBE_INTERVAL_S)

    async def _stop(self, request_ids: Sequence[str]) -> None:
        """Several times: one may still have been in preprocess."""
        for pause_s in STOP_PAUSES_S:
            await asyncio.sleep(pause_s)
            await self.probe()
            for start in range(0, len(request_ids), STOPS_AT_ONCE):
                some = request_ids[start : start + STOPS_AT_ONCE]
                await asyncio.gather(*(endpoint.stop(some) for endpoint in self.usable))

    async def _resolve(self) -> None:
        found = [address for name in self._names for address in await name.addresses()]
        for address in found:
            if address not in self._endpoints:
                self._endpoints[address] = Endpoint(
                    address, self._model, self._sweeper, self._admit, self._running
                )
        for address in self._endpoints.keys() - set(found):
            logger.info("%s is no longer among the addresses", address)
            self._start(self._endpoints.pop(address).retire())

    def _admit(self, served: ServedModel) -> ServedModel:
        """The same object for all, so that what is remembered of the model lasts while one of them works."""
        for endpoint in self.usable:
            if endpoint.served is not None:
                _require_same(served, endpoint.served, endpoint.address)
                return endpoint.served
        return served

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _require_same(served: ServedModel, reference: ServedModel, address: str) -> None:
    different = [
        field.name
        for field in fields(ServedModel)
        if field.compare and getattr(served, field.name) != getattr(reference, field.name)
    ]
    if different:
        raise EngineFailed(f"It serves another model than {address}: {', '.join(different)} differ.")
