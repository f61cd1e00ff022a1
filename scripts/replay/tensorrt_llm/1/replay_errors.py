"""What a request can be refused for, in the words of TensorRT-LLM 1.2's C++ backend."""


class RequestRefused(Exception):
    """Raised before the executor sees the request: the backend sends the text as it is."""


class ExecutorFailure(Exception):
    """Raised when the executor takes the request up; the backend names the request in front of the text."""


class ForwardFailure(Exception):
    """Raised within a step: the executor ends every request that it runs with the same text."""


def check(condition: bool, text: str) -> None:
    """As TLLM_CHECK: assertions reach the client as an internal error."""
    if not condition:
        raise RequestRefused(f"[TensorRT-LLM][ERROR] Assertion failed: {text}")
