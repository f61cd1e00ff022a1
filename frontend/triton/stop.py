"""Ends a generation that nobody waits for, as TensorRT-LLM's backend provides: by a request of the same id.

Cancelling a call on an ensemble does not reach its decoupled step (seen on tritonserver 2.51).
"""

import asyncio
import logging

from tritonclient.grpc import service_pb2

from frontend.errors import ApiError
from frontend.grpc_client.channel import GrpcChannel
from frontend.grpc_client.status import GrpcError
from frontend.triton.errors import engine_error, stream_error
from frontend.triton.model import ENGINE_MODEL
from frontend.triton.service import MODEL_STREAM_INFER
from frontend.triton.stream import GenerationStream
from frontend.triton.tensors import BOOL, INT32, add_input

logger = logging.getLogger(__name__)

# Repeated until the generation has ended, for the first may overtake it while it is still in preprocess: less
# and less often, for many generations are given up at once when the machine is busy.
FIRST_INTERVAL_S = 0.1
LAST_INTERVAL_S = 0.4
# What preprocess may take with the longest prompt, before the engine knows the id.
GIVE_UP_S = 30.0
TIMEOUT_S = 5.0


async def stop_until_ended(channel: GrpcChannel, stream: GenerationStream) -> None:
    """One that was lost counts as ended once a stop request has been answered."""
    request_id = stream.request.id
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + GIVE_UP_S
    interval_s = FIRST_INTERVAL_S
    while loop.time() < give_up_at:
        is_answered = await _is_stopped(channel, request_id)
        if stream.was_lost:
            if is_answered:
                return
            await asyncio.sleep(interval_s)
        elif await stream.ended(interval_s):
            return
        interval_s = min(2 * interval_s, LAST_INTERVAL_S)
    logger.error("generation %s did not end within %d s of stop requests", request_id, GIVE_UP_S)
    stream.cancel()


async def send_stop(channel: GrpcChannel, request_id: str, timeout_s: float = TIMEOUT_S) -> None:
    """Returns when the engine has answered, as it does for ids that it does not know; raises ApiError."""
    try:
        messages = await channel.collect(MODEL_STREAM_INFER, stop_request(request_id), timeout_s)
    except GrpcError as error:
        raise engine_error(error.code, error.details) from error
    for message in messages:
        if message.error_message:
            raise stream_error(message.error_message)


def stop_request(request_id: str) -> service_pb2.ModelInferRequest:
    """To be sent on a stream of its own, for the engine is decoupled."""
    request = service_pb2.ModelInferRequest(model_name=ENGINE_MODEL, id=request_id)
    add_input(request, "input_lengths", 1, INT32)
    add_input(request, "request_output_len", 1, INT32)
    add_input(request, "stop", True, BOOL)
    return request


async def _is_stopped(channel: GrpcChannel, request_id: str) -> bool:
    try:
        await send_stop(channel, request_id)
    except ApiError as error:
        logger.warning("stop request for %s failed: %s", request_id, error)
        return False
    return True
