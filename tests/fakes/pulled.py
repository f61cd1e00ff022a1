"""A generation as an async generator, for tests that take its responses one by one."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from tritonclient.grpc import service_pb2

from frontend.triton.response import EngineResponse
from frontend.triton.stream import GenerationStream
from frontend.triton.triton import Triton


class Puller:
    def __init__(self) -> None:
        self.queue: asyncio.Queue[EngineResponse] = asyncio.Queue()

    def attach(self, stream: GenerationStream) -> None:
        pass

    def receive(self, responses: Sequence[EngineResponse]) -> bool:
        for response in responses:
            self.queue.put_nowait(response)
        return responses[-1].surroundings.is_final


async def pulled(
    triton: Triton, request: service_pb2.ModelInferRequest, conversation: bytes | None = None
) -> AsyncGenerator[EngineResponse, None]:
    """Closing it stops the engine; raises what the generation raises, behind what came."""
    puller = Puller()
    running = asyncio.create_task(triton.infer(request, conversation, True, puller))
    try:
        while not (running.done() and puller.queue.empty()):
            taking = asyncio.create_task(puller.queue.get())
            await asyncio.wait({running, taking}, return_when=asyncio.FIRST_COMPLETED)
            if taking.done():
                yield taking.result()
            else:
                taking.cancel()
        running.result()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
