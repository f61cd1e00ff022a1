"""The messages of a chat, as a client sends them."""

from typing import Literal

from pydantic import Field, model_validator

from frontend.api.fields import Frozen, ListOf, Unsupported, field_error


class TextPart(Frozen):
    type: Literal["text"]
    text: str


class FunctionCall(Frozen):
    name: str = Field(min_length=1)
    arguments: str


class ToolCall(Frozen):
    id: str
    type: Literal["function"]
    function: FunctionCall


class Message(Frozen):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | ListOf[TextPart] | None = None
    name: str | None = None
    tool_calls: ListOf[ToolCall] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None

    audio: Unsupported = None
    function_call: Unsupported = None

    @model_validator(mode="after")
    def _content_is_there(self) -> "Message":
        if self.content is None and self.role not in ("assistant", "tool"):
            raise field_error("content", "must be a string or a list of text parts")
        return self

    @model_validator(mode="after")
    def _tool_fields_fit_the_role(self) -> "Message":
        if self.role == "tool" and self.tool_call_id is None:
            raise field_error("tool_call_id", "is required with the role tool")
        if self.tool_calls and self.role != "assistant":
            raise field_error("tool_calls", "is only allowed with the role assistant")
        return self
