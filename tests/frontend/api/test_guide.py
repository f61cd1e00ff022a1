"""A request asks for one form of its output, in as many spellings as its client likes."""

from typing import Any

import pytest

from frontend.api.chat.request import ChatRequest
from frontend.api.guide import requested_guide
from frontend.errors import InvalidRequest

GRAMMAR = 'root ::= "a"'


@pytest.mark.parametrize(
    ("fields", "is_refused"),
    [
        ({"guided_grammar": GRAMMAR, "structured_outputs": {"grammar": GRAMMAR}}, False),
        ({"guided_json": "{}", "response_format": {"type": "json_object", "schema": {}}}, False),
        ({"guided_grammar": GRAMMAR, "structured_outputs": {"grammar": f"{GRAMMAR} "}}, True),
        ({"guided_grammar": GRAMMAR, "guided_regex": GRAMMAR}, True),
    ],
)
def test_a_guide_may_be_said_twice(fields: dict[str, Any], is_refused: bool) -> None:
    request = ChatRequest.model_validate(
        {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
    )
    if is_refused:
        with pytest.raises(InvalidRequest, match="asks for another form already"):
            requested_guide(request)
    else:
        assert requested_guide(request) is not None
