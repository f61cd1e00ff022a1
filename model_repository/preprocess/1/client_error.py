"""The one error that a client can cause, in the form that the frontend passes on."""

import json


class ClientError(Exception):
    """Says in one sentence what is wrong; `param` is the path of the field, as in OpenAI's errors."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code

    def as_json(self) -> str:
        return json.dumps({"message": self.message, "param": self.param, "code": self.code})
