"""Content blocks of an Anthropic message: each is opened, grows and is closed, as events and as an object."""

from typing import Any

from pydantic_core import from_json

from frontend.api.chat.tool_calls import ToolCallDelta
from frontend.errors import EngineFailed

Event = dict[str, Any]


class Block:
    """A block as it starts, and the pieces that came since."""

    def __init__(self, start: dict[str, Any], call_index: int | None = None) -> None:
        self.start = start
        self.call_index = call_index
        self.pieces: list[str] = []

    def whole(self) -> dict[str, Any]:
        """Raises EngineFailed for a call that this API has no words for."""
        content = "".join(self.pieces)
        if self.call_index is None:
            return self.start | {"text": content}
        try:
            # Of a call that was cut short there is what came.
            arguments = from_json(content or "{}", allow_inf_nan=False, allow_partial=True)
        except ValueError as error:
            raise EngineFailed("The model called a tool with arguments that are not JSON.") from error
        return self.start | {"input": arguments}


class ContentBlocks:
    """The blocks of one message, of which at most one is open: the last."""

    def __init__(self) -> None:
        self._blocks: list[Block] = []
        self._is_open = False

    @property
    def has_call(self) -> bool:
        return any(block.call_index is not None for block in self._blocks)

    def whole(self) -> list[dict[str, Any]]:
        return [block.whole() for block in self._blocks]

    def say(self, text: str) -> list[Event]:
        events = self._continue(Block({"type": "text", "text": ""}))
        return [*events, self._grow({"type": "text_delta", "text": text}, text)]

    def call(self, delta: ToolCallDelta) -> list[Event]:
        caller = {"type": "direct"}
        # The prefix of all of this API's.
        call_id = delta.id and delta.id.replace("call_", "toolu_", 1)
        start = {"type": "tool_use", "id": call_id, "name": delta.name, "input": {}, "caller": caller}
        events = self._continue(Block(start, delta.index))
        if delta.arguments:
            piece = {"type": "input_json_delta", "partial_json": delta.arguments}
            events.append(self._grow(piece, delta.arguments))
        return events

    def close(self) -> list[Event]:
        if not self._is_open:
            return []
        self._is_open = False
        return [{"type": "content_block_stop", "index": len(self._blocks) - 1}]

    def _continue(self, block: Block) -> list[Event]:
        """Opens the block unless what is open is the same text or call."""
        if self._is_open and self._blocks[-1].call_index == block.call_index:
            return []
        events = self.close()
        self._blocks.append(block)
        self._is_open = True
        index = len(self._blocks) - 1
        return [*events, {"type": "content_block_start", "index": index, "content_block": block.start}]

    def _grow(self, delta: dict[str, Any], piece: str) -> Event:
        self._blocks[-1].pieces.append(piece)
        return {"type": "content_block_delta", "index": len(self._blocks) - 1, "delta": delta}
