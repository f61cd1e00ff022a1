"""Output items of the Responses API: each is opened, grows and is closed, as events and as an object."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from frontend.api.chat.tool_calls import ToolCallDelta
from frontend.api.logprobs import token_logprob
from frontend.generation.delta import Token

Event = dict[str, Any]
ItemStatus = Literal["in_progress", "completed", "incomplete"]


class OutputItems:
    """The items of one response, of which at most one is open: the last."""

    def __init__(self, namespaces: Mapping[str, str]) -> None:
        """`namespaces`: name of a function -> its namespace, where it has one."""
        self._namespaces = namespaces
        self.closed: list[dict[str, Any]] = []
        self._message: MessageItem | None = None
        self._call: FunctionCallItem | None = None

    def say(self, text: str, tokens: Sequence[Token]) -> list[Event]:
        events: list[Event] = []
        if self._message is None:
            events += self.close("completed")
            self._message = MessageItem(len(self.closed))
            events += self._message.opened()
        return events + self._message.grown(text, tokens)

    def call(self, delta: ToolCallDelta) -> list[Event]:
        events: list[Event] = []
        if self._call is None or self._call.index != delta.index:
            events += self.close("completed")
            namespace = self._namespaces.get(delta.name or "")
            self._call = FunctionCallItem(len(self.closed), delta, namespace)
            events += self._call.opened()
        return events + self._call.grown(delta.arguments)

    def close(self, status: ItemStatus) -> list[Event]:
        item = self._message or self._call
        self._message = self._call = None
        if item is None:
            return []
        self.closed.append(item.whole(status))
        return item.closed(status)


class MessageItem:
    """What the model says: one message with one part of text."""

    def __init__(self, output_index: int) -> None:
        self._place = {"item_id": f"msg_{uuid.uuid4().hex}", "output_index": output_index}
        self._texts: list[str] = []
        self._logprobs: list[dict[str, Any]] = []

    def opened(self) -> list[Event]:
        return [
            _item_event("added", self._place, self._item("in_progress", [])),
            self._content_event("response.content_part.added", part=_text_part("", [])),
        ]

    def grown(self, text: str, tokens: Sequence[Token]) -> list[Event]:
        self._texts.append(text)
        logprobs = [token_logprob(token) for token in tokens]
        self._logprobs += logprobs
        return [self._content_event("response.output_text.delta", delta=text, logprobs=logprobs)]

    def closed(self, status: ItemStatus) -> list[Event]:
        text = "".join(self._texts)
        return [
            self._content_event("response.output_text.done", text=text, logprobs=self._logprobs),
            self._content_event("response.content_part.done", part=_text_part(text, self._logprobs)),
            _item_event("done", self._place, self.whole(status)),
        ]

    def whole(self, status: ItemStatus) -> dict[str, Any]:
        return self._item(status, [_text_part("".join(self._texts), self._logprobs)])

    def _item(self, status: ItemStatus, content: list[dict[str, Any]]) -> dict[str, Any]:
        item_id = self._place["item_id"]
        return {"id": item_id, "type": "message", "status": status, "role": "assistant", "content": content}

    def _content_event(self, event_type: str, **fields: Any) -> Event:
        return {"type": event_type, **self._place, "content_index": 0, **fields}


class FunctionCallItem:
    """One call of a function."""

    def __init__(self, output_index: int, call: ToolCallDelta, namespace: str | None) -> None:
        self._place = {"item_id": f"fc_{uuid.uuid4().hex}", "output_index": output_index}
        self.index = call.index
        self._call = call
        self._namespace = {"namespace": namespace} if namespace else {}
        self._arguments: list[str] = []

    def opened(self) -> list[Event]:
        return [_item_event("added", self._place, self.whole("in_progress"))]

    def grown(self, arguments: str) -> list[Event]:
        if not arguments:
            return []
        self._arguments.append(arguments)
        return [{"type": "response.function_call_arguments.delta", **self._place, "delta": arguments}]

    def closed(self, status: ItemStatus) -> list[Event]:
        arguments = "".join(self._arguments)
        return [
            {
                "type": "response.function_call_arguments.done",
                **self._place,
                "name": self._call.name,
                "arguments": arguments,
            },
            _item_event("done", self._place, self.whole(status)),
        ]

    def whole(self, status: ItemStatus) -> dict[str, Any]:
        return {
            "id": self._place["item_id"],
            "type": "function_call",
            "status": status,
            "call_id": self._call.id,
            "name": self._call.name,
            "arguments": "".join(self._arguments),
            **self._namespace,
        }


def _item_event(verb: Literal["added", "done"], place: dict[str, Any], item: dict[str, Any]) -> Event:
    return {"type": f"response.output_item.{verb}", "output_index": place["output_index"], "item": item}


def _text_part(text: str, logprobs: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "output_text", "annotations": [], "logprobs": logprobs, "text": text}
