"""/openapi.json describes the API, and requests made out of it are answered as it should be."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from hypothesis import Phase, given
from hypothesis import strategies as st

from frontend.app import create_app
from frontend.settings import Settings
from frontend.triton.triton import Triton
from scripts.fuzz.generated_request import described_requests
from tests.fakes.triton_server import Script, tokens
from tests.frontend.conftest import API_KEY, MODEL, Stack
from tests.fuzzing import examples

# No request is sent through this one.
DESCRIPTION: dict[str, Any] = create_app(Settings(), Triton.__new__(Triton)).openapi()
REQUESTS = described_requests(DESCRIPTION, MODEL)


def test_it_is_served_to_those_with_a_key(http: httpx.Client, stack: Stack) -> None:
    assert http.get("/openapi.json").json()["paths"].keys() == DESCRIPTION["paths"].keys()
    assert httpx.get(f"{stack.url}/openapi.json", verify=False).status_code == 401


def test_every_reference_leads_somewhere() -> None:
    schemas = DESCRIPTION["components"]["schemas"]
    references = set(re.findall(r"'\$ref': '([^']+)'", str(DESCRIPTION)))
    assert references
    assert {f"#/components/schemas/{name}" for name in schemas} >= references


def test_every_status_and_body_is_described() -> None:
    for path, operations in DESCRIPTION["paths"].items():
        for operation in operations.values():
            is_open = path.startswith("/health")
            assert (operation.get("security") == []) is is_open
            assert ("401" in operation["responses"]) is not is_open
            assert "422" not in operation["responses"]
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            assert ("400" in operation["responses"]) is bool(body)
            streams = "stream" in body.get("schema", {}).get("properties", {})
            assert ("text/event-stream" in operation["responses"]["200"]["content"]) is streams


# Without a model's name their bodies are refused for what no schema says: the vocabulary's size, fields that
# need another.
TOKENIZERS = "^/(de)?tokenize$"


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        # Where no Triton gives its metrics, that route answers 503 as it should.
        ["--exclude-path-regex", f"{TOKENIZERS}|^/metrics/triton$"],
        ["--include-path-regex", TOKENIZERS, "--exclude-checks", "positive_data_acceptance"],
    ],
)
def test_schemathesis_finds_nothing(stack: Stack, options: list[str], tmp_path: Path) -> None:
    stack.fake.reset(Script([tokens("ok")]))
    command = [
        str(Path(sys.executable).with_name("st")), "run", f"{stack.url}/openapi.json", "--checks", "all",
        "-H", f"Authorization: Bearer {API_KEY}", "--max-examples", "5", "--phases", "coverage,fuzzing",
        *options,
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-8000:]


@pytest.mark.row(1, 16, 17, 18)
@pytest.mark.parametrize("operation", REQUESTS)
@examples(15, phases=[Phase.generate])
@given(data=st.data())
def test_no_request_out_of_the_description_is_a_5xx(
    operation: str, http: httpx.Client, stack: Stack, data: st.DataObject
) -> None:
    stack.fake.reset(Script([tokens("ok")]))
    request = data.draw(REQUESTS[operation])
    headers = {"Content-Type": "application/json"}
    answer = http.request(request.method, request.path, content=request.body, headers=headers)
    assert answer.status_code < 500
    if answer.status_code >= 400:
        assert "error" in answer.json()
