import httpx2 as httpx
import openai
import pytest

from tests.frontend.conftest import MODEL


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
