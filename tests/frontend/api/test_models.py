from collections.abc import Sequence

import anthropic
import httpx2 as httpx
import openai
import pytest

from frontend.api.chat.request import ChatRequest
from frontend.api.generation_request import from_chat
from frontend.api.models import model_list
from frontend.errors import EngineFailed
from frontend.triton.model import LORA_INPUT, ServedModel, served_model
from tests.fakes.clients import anthropic_client
from tests.fakes.triton_server import FakeTriton
from tests.frontend.api.vendor_schemas import errors
from tests.frontend.conftest import API_KEY, MODEL, Stack


def test_list_has_the_keys_of_the_seed(http: httpx.Client) -> None:
    body = http.get("/v1/models").json()
    assert list(body) == ["object", "data"]
    (card,) = body["data"]
    assert list(card) == [
        "id", "object", "created", "owned_by", "root", "parent", "max_model_len", "permission",
    ]  # fmt: skip
    assert (card["id"], card["object"], card["max_model_len"]) == (MODEL, "model", 8192)
    (permission,) = card["permission"]
    assert permission.pop("id").startswith("modelperm-")
    assert permission == {
        "object": "model_permission",
        "created": card["created"],
        "allow_create_engine": False,
        "allow_sampling": True,
        "allow_logprobs": True,
        "allow_search_indices": False,
        "allow_view": True,
        "allow_fine_tuning": False,
        "organization": "*",
        "group": None,
        "is_blocking": False,
    }


def test_one_model(client: openai.OpenAI) -> None:
    assert client.models.retrieve(MODEL).id == MODEL
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("other")
    assert caught.value.code == "model_not_found"


def with_adapters(text: str, unsupported: str = "") -> ServedModel:
    configs = FakeTriton().configs
    configs["ensemble"].parameters["lora_adapters"].string_value = text
    configs["tensorrt_llm"].parameters["unsupported_inputs"].string_value = unsupported
    return served_model(configs["ensemble"], configs["ensemble_ids"], configs, created=0)


def lora_task_ids(model: ServedModel, name: str) -> Sequence[object]:
    chat = ChatRequest.model_validate(
        {"model": name, "messages": [{"role": "user", "content": "hi"}], "n": 2, "temperature": 1}
    )
    return [generation.inputs.get(LORA_INPUT) for generation in from_chat(chat, model)]


def test_adapters_are_models_whose_parent_is_the_base() -> None:
    model = with_adapters("sql=1, acme/law=20")
    cards = model_list(model)["data"]
    assert [(card["id"], card["parent"], card["root"]) for card in cards] == [
        (MODEL, None, MODEL),
        ("sql", MODEL, MODEL),
        ("acme/law", MODEL, MODEL),
    ]


def test_an_adapter_is_served_by_its_task_id() -> None:
    model = with_adapters("sql=1,acme/law=20")
    assert lora_task_ids(model, "acme/law") == [20, 20]
    assert lora_task_ids(model, MODEL) == [None, None]


@pytest.mark.parametrize(
    "text", ["sql", "=1", "sql=one", "sql=-1", "sql=1,sql=2", f"{MODEL}=1", f"sql={2**64}", "a=1,b=1"]
)
def test_a_bad_list_of_adapters_is_refused(text: str) -> None:
    with pytest.raises(EngineFailed, match="lora_adapters"):
        with_adapters(text)


def test_adapters_need_an_engine_that_has_them() -> None:
    with pytest.raises(EngineFailed, match="lora_adapters"):
        with_adapters("sql=1", unsupported=LORA_INPUT)


def test_anthropics_clients_get_their_form(stack: Stack) -> None:
    with anthropic_client(stack.url, API_KEY) as client:
        assert [model.id for model in client.models.list()] == [MODEL]
        assert client.models.retrieve(MODEL).display_name == MODEL
        with pytest.raises(anthropic.NotFoundError) as caught:
            client.models.retrieve("other")
        assert caught.value.type == "not_found_error"
        with pytest.raises(anthropic.NotFoundError):
            client.get("/v1/nothing", cast_to=object)


def test_their_form_is_that_of_the_description(http: httpx.Client) -> None:
    answer = http.get("/v1/models", headers={"anthropic-version": "2023-06-01"}).json()
    assert errors("anthropic", "ListResponse_ModelInfo_", answer) == []
