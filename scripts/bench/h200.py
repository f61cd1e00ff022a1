"""The published rate of a GPU, at which the stack is measured."""

# Output tokens per second of Llama 3.1 8B in FP8 on one H200, 1,000 in and 1,000 out (performance overview of
# TensorRT-LLM 0.17).
H200_TOKENS_PER_S = 17_538
# Over which it is spread.
H200_STREAMS = (64, 256, 1000)


def h200_pace(num_streams: int) -> float:
    """Tokens per second of each: fewer than 64 are no faster for that."""
    return H200_TOKENS_PER_S / max(num_streams, H200_STREAMS[0])
