"""A chat request -> the inputs of which the ensemble makes the prompt."""

import json
from typing import Any

from frontend.messages import Message
from frontend.requests import ChatRequest
from frontend.tensors import TensorValue
from frontend.tools import Tool


def chat_prompt(chat: ChatRequest) -> dict[str, TensorValue]:
    inputs: dict[str, TensorValue] = {"messages": _to_json([_message(message) for message in chat.messages])}
    if chat.offered_tools:
        inputs["tools"] = _to_json([_tool(tool) for tool in chat.offered_tools])
    if not chat.add_generation_prompt:
        inputs["add_generation_prompt"] = False
    if chat.continue_final_message:
        inputs["continue_final_message"] = True
    return inputs


def _message(message: Message) -> dict[str, Any]:
    fields = message.model_dump(exclude_none=True, exclude={"refusal", "function_call"})
    # A tool may have nothing to say.
    return {**fields, "content": ""} if message.role == "tool" and message.content is None else fields


def _tool(tool: Tool) -> dict[str, Any]:
    # How strictly a schema is meant is nothing that the model was trained on.
    return tool.model_dump(exclude_none=True, exclude={"function": {"strict"}})


def _to_json(value: list[dict[str, Any]]) -> str:
    return json.dumps(value, ensure_ascii=False)
