"""The form that a request wants its answer kept to, in the LLM API's words."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from contract.errors import InvalidInput
from contract.tensors import Tensors, read_text

_TYPE = "guided_decoding_guide_type"
_GUIDE = "guided_decoding_guide"
_MAX_GUIDE_BYTES = 64 * 1024

# TensorRT-LLM's guide types -> the argument of GuidedDecodingParams.
_ARGUMENTS: Mapping[str, str] = {
    "json": "json_object",
    "json_schema": "json",
    "regex": "regex",
    "ebnf_grammar": "grammar",
}


@dataclass(frozen=True, slots=True)
class LlmApiGuide:
    """type is one of TensorRT-LLM's names: json, json_schema, regex or ebnf_grammar."""

    type: str
    text: str

    @property
    def arguments(self) -> dict[str, str | bool]:
        """Of GuidedDecodingParams."""
        return {_ARGUMENTS[self.type]: self.text or True}


def read_guide(tensors: Tensors, try_out: Callable[[LlmApiGuide], None]) -> LlmApiGuide | None:
    """try_out raises ValueError or RuntimeError for a guide that can't be compiled: the engine would late."""
    guide = LlmApiGuide(read_text(tensors, _TYPE), read_text(tensors, _GUIDE))
    if not guide.type and not guide.text:
        return None
    if guide.type not in _ARGUMENTS:
        raise InvalidInput(_TYPE, f"must be one of {', '.join(_ARGUMENTS)}, got {guide.type!r}.")
    if not guide.text and guide.type != "json":
        raise InvalidInput(_GUIDE, f"must not be empty when the type is {guide.type}.")
    if len(guide.text.encode()) > _MAX_GUIDE_BYTES:
        raise InvalidInput(_GUIDE, f"is larger than {_MAX_GUIDE_BYTES} bytes.")
    if guide.type == "json":
        return LlmApiGuide("json", "")
    try:
        try_out(guide)
    except (ValueError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or ["no reason is given"])[-1]
        raise InvalidInput(_GUIDE, f"can't be compiled: {reason[:300].rstrip('.')}.") from error
    return guide
