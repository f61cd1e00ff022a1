"""/openapi.json describes the API, and requests made out of it are answered as it should be."""

import re
from typing import Any

import httpx2 as httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from frontend.app import create_app
from frontend.settings import Settings
from frontend.triton import Triton
from tests.fakes.triton_server import Script, tokens
from tests.frontend.conftest import Stack

# No request is sent through this one.
DESCRIPTION: dict[str, Any] = create_app(Settings(), Triton.__new__(Triton)).openapi()
OPERATIONS = {
    found.ok().label: found.ok() for found in schemathesis.openapi.from_dict(DESCRIPTION).get_all_operations()
}
FUZZ = settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def test_it_is_served_to_those_with_a_key(http: httpx.Client, stack: Stack) -> None:
    assert http.get("/openapi.json").json()["paths"].keys() == DESCRIPTION["paths"].keys()
    assert httpx.get(f"{stack.url}/openapi.json").status_code == 401


def test_every_reference_leads_somewhere() -> None:
    schemas = DESCRIPTION["components"]["schemas"]
    references = set(re.findall(r"'\$ref': '([^']+)'", str(DESCRIPTION)))
    assert references
    assert {f"#/components/schemas/{name}" for name in schemas} >= references


@pytest.mark.row(1, 16, 17, 18)
@pytest.mark.parametrize("label", OPERATIONS)
@FUZZ
@given(data=st.data())
def test_no_request_out_of_the_description_is_a_5xx(
    label: str, http: httpx.Client, stack: Stack, data: st.DataObject
) -> None:
    stack.fake.reset(Script([tokens("ok")]))
    case = data.draw(OPERATIONS[label].as_strategy())
    answer = (
        http.request(case.method, case.formatted_path, json=case.body)
        if label.startswith("POST")
        else http.get(case.formatted_path)
    )
    assert answer.status_code < 500
    if answer.status_code >= 400:
        assert "error" in answer.json()
