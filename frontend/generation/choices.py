"""Runs the generations of one request side by side."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TypeAlias

from frontend.api.generation_request import GenerationRequest
from frontend.generation.generation import Delta, generate
from frontend.limits.gate import Slots
from frontend.triton.model import ServedModel
from frontend.triton.triton import Triton

# Deltas that may wait for a slow client before its generations are held back.
MAX_WAITING_DELTAS = 16

# None: one generation has ended.
_Queue: TypeAlias = "asyncio.Queue[Delta | Exception | None]"


async def run_choices(
    triton: Triton, model: ServedModel, generations: Sequence[GenerationRequest], slots: Slots
) -> AsyncGenerator[Delta, None]:
    """Deltas of all generations as they come, each generation's in order; the first error ends all.

    Nothing is generated before there are slots; they are given back at the end.
    """
    async with slots:
        run = _run_one if len(generations) == 1 else _run_side_by_side
        async with aclosing(run(triton, model, generations)) as deltas:
            async for delta in deltas:
                slots.count(delta)
                yield delta


def _run_one(
    triton: Triton, model: ServedModel, generations: Sequence[GenerationRequest]
) -> AsyncGenerator[Delta, None]:
    return generate(triton, model, generations[0])


async def _run_side_by_side(
    triton: Triton, model: ServedModel, generations: Sequence[GenerationRequest]
) -> AsyncGenerator[Delta, None]:
    queue: _Queue = asyncio.Queue(MAX_WAITING_DELTAS)
    tasks = [asyncio.create_task(_feed(queue, triton, model, generation)) for generation in generations]
    try:
        num_running = len(tasks)
        while num_running:
            item = await queue.get()
            if isinstance(item, Exception):
                raise item
            if item is None:
                num_running -= 1
            else:
                yield item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _feed(queue: _Queue, triton: Triton, model: ServedModel, generation: GenerationRequest) -> None:
    try:
        async with aclosing(generate(triton, model, generation)) as deltas:
            async for delta in deltas:
                await queue.put(delta)
    except Exception as error:  # handed on to the reader, which raises it
        await queue.put(error)
    else:
        await queue.put(None)
