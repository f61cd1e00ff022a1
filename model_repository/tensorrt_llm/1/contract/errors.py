"""What can go wrong with a request, beyond the engine's own failures."""

import json


class InvalidInput(ValueError):
    """Names the tensor at fault; its text is the JSON object from which an API server makes its answer."""

    def __init__(self, param: str, complaint: str, code: str | None = None) -> None:
        super().__init__(json.dumps({"message": f"{param}: {complaint}", "param": param, "code": code}))
        self.param = param


class ResponseLost(Exception):
    """Triton could not take a response."""
