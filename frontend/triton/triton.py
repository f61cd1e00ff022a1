"""The ensemble, wherever it runs: a generation goes to one Triton, or to the next before its first answer."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from tritonclient.grpc import service_pb2

from frontend.errors import ApiError, EngineOverloaded, EngineUnavailable
from frontend.settings import Settings
from frontend.triton.deadlines import Deadlines
from frontend.triton.endpoint import Endpoint
from frontend.triton.endpoints import Endpoints
from frontend.triton.model import ServedModel
from frontend.triton.routing import choose
from frontend.triton.running_ids import RunningIds, new_memory
from frontend.triton.stream import Receiver
from frontend.triton.tensors import TensorValue

Result = TypeVar("Result")

# A generation whose server dies with it gets one more: it may be what the server died of.
MAX_LOST = 2
# The model that answers, as model_repository/ names it.
MODEL = "ensemble"


class Triton:
    """One or more Triton servers with the ensemble; every error it raises is an ApiError."""

    def __init__(self, settings: Settings, running: RunningIds | None = None) -> None:
        self._endpoints = Endpoints(
            settings.triton_grpc_addresses, MODEL, running or RunningIds(new_memory())
        )
        self._deadlines = Deadlines(
            settings.first_token_timeout_s, settings.token_timeout_s, settings.request_timeout_s
        )

    def start(self) -> None:
        """Looks after the endpoints from now on."""
        self._endpoints.start()

    async def close(self) -> None:
        await self._endpoints.close()

    @property
    def num_servers(self) -> int:
        """Those that work, of which there is one at least as long as requests are let in."""
        return max(1, len(self._endpoints.usable))

    def health(self) -> dict[str, bool]:
        """Address of each endpoint -> whether it works, as far as is known."""
        return self._endpoints.health()

    async def is_ready(self) -> bool:
        """Whether one endpoint works, asked now."""
        return await self._endpoints.probe()

    async def served_model(self) -> ServedModel:
        """Facts of the served model; read again after Triton was away."""
        return await self._endpoints.served_model()

    @property
    def model_names(self) -> tuple[str, ...]:
        """As far as is known now; none while no server works."""
        usable = self._endpoints.usable
        served = usable[0].served if usable else None
        return served.names if served else ()

    async def preprocess(self, model: ServedModel, inputs: Mapping[str, TensorValue]) -> list[int]:
        """Token ids of the prompt that these inputs of the ensemble make."""
        return await self._ask(lambda endpoint: endpoint.preprocess(model, inputs))

    async def infer(
        self,
        request: service_pb2.ModelInferRequest,
        conversation: bytes | None,
        is_streamed: bool,
        receiver: Receiver,
    ) -> None:
        """Gives the receiver the responses of one generation, up to the final one or to the last it wants.

        Cancelling it stops the engine, and so does a receiver that wants no more.
        """
        started_at = asyncio.get_running_loop().time()
        attempts = _Attempts(self._endpoints)
        while True:
            endpoint = await attempts.next(conversation)
            stream = endpoint.start(request, self._deadlines, started_at, is_streamed, receiver)
            try:
                await stream.finished
                return
            except ApiError as error:
                attempts.failed(endpoint, error, stream.was_lost)
                if stream.has_answered or not attempts.is_worth_another(error):
                    raise
            finally:
                endpoint.leave(stream)

    async def _ask(self, question: Callable[[Endpoint], Awaitable[Result]]) -> Result:
        attempts = _Attempts(self._endpoints)
        while True:
            endpoint = await attempts.next(None)
            try:
                return await question(endpoint)
            except ApiError as error:
                attempts.failed(endpoint, error, was_lost=False)
                if not attempts.is_worth_another(error):
                    raise


class _Attempts:
    """Where one request has been so far."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        self._tried: list[Endpoint] = []
        self._num_lost = 0

    async def next(self, conversation: bytes | None) -> Endpoint:
        return choose(self._untried() or await self._endpoints.require_usable(), conversation)

    def failed(self, endpoint: Endpoint, error: ApiError, was_lost: bool) -> None:
        self._tried.append(endpoint)
        self._num_lost += was_lost
        if isinstance(error, EngineUnavailable):
            endpoint.complain(error.message)

    def is_worth_another(self, error: ApiError) -> bool:
        is_passing = isinstance(error, EngineUnavailable | EngineOverloaded)
        return is_passing and self._num_lost < MAX_LOST and bool(self._untried())

    def _untried(self) -> list[Endpoint]:
        return [endpoint for endpoint in self._endpoints.usable if endpoint not in self._tried]
