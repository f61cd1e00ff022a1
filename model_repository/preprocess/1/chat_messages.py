"""Checks OpenAI chat messages and tools, and brings them to the one form that chat templates expect."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from client_input import ClientError, check_text, check_value, parse_json

Message: TypeAlias = dict[str, Any]
Tool: TypeAlias = dict[str, Any]

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}


def read_messages(raw: object) -> list[Message]:
    """Every message has a role and a text as content; tool calls have their arguments as an object."""
    if not isinstance(raw, list) or not raw:
        raise ClientError("messages must be a list of at least one message.", "messages")
    return [_message(_object(item, f"messages[{i}]"), f"messages[{i}]") for i, item in enumerate(raw)]


def read_tools(raw: object) -> list[Tool] | None:
    """The tool definitions as the client wrote them; None where there are none."""
    if raw is None or raw == []:
        return None
    if not isinstance(raw, list):
        raise ClientError("tools must be a list.", "tools")
    return [_tool(_object(item, f"tools[{i}]"), f"tools[{i}]") for i, item in enumerate(raw)]


def _message(raw: Mapping[str, object], at: str) -> Message:
    role = _role(raw.get("role"), f"{at}.role")
    message: Message = {"role": role, "content": _content(raw.get("content"), role, f"{at}.content")}
    if calls := _tool_calls(raw, role, at):
        message["tool_calls"] = calls
    for key in ("name", "tool_call_id"):
        if raw.get(key) is not None:
            message[key] = _text(raw[key], f"{at}.{key}")
    return message


def _role(raw: object, at: str) -> str:
    if not isinstance(raw, str) or raw not in _ROLES:
        raise ClientError(f"{at} must be one of {', '.join(_ROLES)}.", at)
    return _ROLES[raw]


def _content(raw: object, role: str, at: str) -> str:
    if raw is None and role == "assistant":
        return ""
    if isinstance(raw, str):
        return _text(raw, at)
    if not isinstance(raw, list) or not raw:
        raise ClientError(f"{at} must be a string or a list of text parts.", at)
    return "".join(_part(_object(item, f"{at}[{i}]"), role, f"{at}[{i}]") for i, item in enumerate(raw))


def _part(raw: Mapping[str, object], role: str, at: str) -> str:
    kind = raw.get("type")
    if kind == "text" or (kind == "refusal" and role == "assistant"):
        return _text(raw.get(str(kind)), f"{at}.{kind}")
    raise ClientError(f"{at}.type must be text: the model reads nothing else.", f"{at}.type")


def _tool_calls(raw: Mapping[str, object], role: str, at: str) -> list[dict[str, Any]]:
    if raw.get("function_call") is not None:
        raise ClientError(f"{at}.function_call is not supported: use tool_calls.", f"{at}.function_call")
    calls, at = raw.get("tool_calls"), f"{at}.tool_calls"
    if calls is None or calls == []:
        return []
    if not isinstance(calls, list) or role != "assistant":
        raise ClientError(f"{at} must be a list, and only assistant messages have it.", at)
    return [_tool_call(_object(item, f"{at}[{i}]"), f"{at}[{i}]") for i, item in enumerate(calls)]


def _tool_call(raw: Mapping[str, object], at: str) -> dict[str, Any]:
    if raw.get("type", "function") != "function":
        raise ClientError(f"{at}.type must be function.", f"{at}.type")
    function = _object(raw.get("function"), f"{at}.function")
    call: dict[str, Any] = {
        "type": "function",
        "function": {
            "name": _text(function.get("name"), f"{at}.function.name"),
            "arguments": _arguments(function.get("arguments"), f"{at}.function.arguments"),
        },
    }
    return call if raw.get("id") is None else {"id": _text(raw["id"], f"{at}.id"), **call}


def _arguments(raw: object, at: str) -> Mapping[str, object]:
    """A call without arguments is written as an empty string by some clients."""
    value = parse_json(raw or "{}", at) if isinstance(raw, str) else raw
    check_value(value, at)
    return _object(value, at)


def _tool(raw: Mapping[str, object], at: str) -> Tool:
    if raw.get("type") != "function":
        raise ClientError(f"{at}.type must be function.", f"{at}.type")
    _text(_object(raw.get("function"), f"{at}.function").get("name"), f"{at}.function.name")
    check_value(raw, at)
    return dict(raw)


def _object(raw: object, at: str) -> Mapping[str, object]:
    if not isinstance(raw, dict):
        raise ClientError(f"{at} must be an object.", at)
    return raw


def _text(raw: object, at: str) -> str:
    if not isinstance(raw, str):
        raise ClientError(f"{at} must be a string.", at)
    check_text(raw, at)
    return raw
