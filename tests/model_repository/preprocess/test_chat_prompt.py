"""Chat prompts as text, read back from their ids."""

from pathlib import Path
from typing import Any

import pytest
from chat_prompt import ChatOptions, read_options
from chat_template import ChatTemplate
from client_input import ClientError
from preprocess_settings import read_settings
from preprocessor import Preprocessor, load_preprocessor

from tests.model_repository.preprocess.asking import SEED_CHAT, ask, prompt_ids
from tests.model_repository.preprocess.conftest import LLAMA_PARAMETERS
from tests.model_repository.preprocess.reference import Reference
from tests.model_repository.preprocess.tiny_tokenizer import write_tiny_engine

USER = {"role": "user", "content": "Hi"}
SYSTEM_BLOCK = (
    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"
    "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n<|eot_id|>"
)
ASSISTANT = "<|start_header_id|>assistant<|end_header_id|>\n\n"
HI = SYSTEM_BLOCK + "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"


def answer(content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


@pytest.mark.parametrize(
    ("messages", "options", "expected"),
    [
        ([USER], {}, HI + ASSISTANT),
        ([USER], {"add_generation_prompt": False}, HI),
        ([{**USER, "name": "ann"}], {"add_generation_prompt": False}, HI.replace("Hi", "ann: Hi")),
        (
            [USER, {**answer("Yes "), "name": "<|eot_id|>"}],
            {"continue_final_message": True},
            HI + ASSISTANT + "<|eot_id|>: Yes",
        ),
        ([USER, answer("Yes")], {"add_generation_prompt": False}, HI + ASSISTANT + "Yes<|eot_id|>"),
        ([USER, answer("Yes")], {"continue_final_message": True}, HI + ASSISTANT + "Yes"),
        ([USER, answer(" Yes, \n")], {"continue_final_message": True}, HI + ASSISTANT + "Yes,"),
        ([USER, answer("")], {"continue_final_message": True}, HI + ASSISTANT),
        ([USER, answer("<|eot_id|>")], {"continue_final_message": True}, HI + ASSISTANT + "<|eot_id|>"),
        (
            [USER, answer("Yes")],
            {"continue_final_message": True, "add_generation_prompt": False},
            HI + ASSISTANT + "Yes",
        ),
    ],
)
def test_how_a_llama_prompt_ends(
    llama: Preprocessor, reference: Reference, messages: Any, options: dict[str, bool], expected: str
) -> None:
    ids = prompt_ids(llama, messages=messages, **options)
    assert reference.tokenizer.decode(ids) == expected


def test_a_control_token_s_name_in_a_continued_message_is_text(llama: Preprocessor) -> None:
    ids = prompt_ids(llama, messages=[USER, answer("<|eot_id|>")], continue_final_message=True)
    assert ids.count(128009) == 2


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ messages[-1].content }}</s>", "Yes \n"),
        ("{{ messages[-1].content | trim }}</s>", "Yes"),
        ("{{ messages[-1].content }}{{ messages[-1].content }}</s>", "Yes \nYes \n"),
    ],
)
def test_trailing_space_of_a_continued_message_is_kept_as_the_template_does(
    tmp_path: Path, tiny_parameters: dict[str, str], source: str, expected: str
) -> None:
    write_tiny_engine(tmp_path / "other", source)
    tiny = load_preprocessor(tiny_parameters | {"engine_dir": "other"}, tmp_path)
    ids = prompt_ids(tiny, messages=[USER, answer("Yes \n")], continue_final_message=True)
    assert ids == prompt_ids(tiny, text_input=expected)


@pytest.mark.parametrize(
    "messages",
    [
        [USER],
        [USER, {"role": "tool", "content": "7"}],
        [
            USER,
            {
                "role": "assistant",
                "tool_calls": [{"type": "function", "function": {"name": "now", "arguments": "{}"}}],
            },
        ],
    ],
)
def test_only_an_assistant_s_text_can_be_continued(llama: Preprocessor, messages: Any) -> None:
    with pytest.raises(ClientError, match="continue_final_message") as refused:
        ask(llama, messages=messages, continue_final_message=True)
    assert refused.value.param == "messages"


def test_a_template_that_drops_the_last_message_can_t_continue_it(
    tmp_path: Path, tiny_parameters: dict[str, str]
) -> None:
    write_tiny_engine(tmp_path / "other", "{{ messages[0].content }}")
    tiny = load_preprocessor(tiny_parameters | {"engine_dir": "other"}, tmp_path)
    with pytest.raises(ClientError, match="can't continue"):
        ask(tiny, messages=[USER, answer("Yes")], continue_final_message=True)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{{ raise_exception('Roles must alternate.') }}", "refused the messages: Roles must alternate."),
        ("{{ messages[0].content + 1 }}", r"can't render these messages \(TypeError\)"),
    ],
)
def test_a_template_s_refusal_names_the_messages(
    tmp_path: Path, tiny_parameters: dict[str, str], source: str, reason: str
) -> None:
    write_tiny_engine(tmp_path / "other", source)
    tiny = load_preprocessor(tiny_parameters | {"engine_dir": "other"}, tmp_path)
    with pytest.raises(ClientError, match=reason) as refused:
        ask(tiny, messages=[USER])
    assert refused.value.param == "messages"


def test_chatml_opens_the_assistant_s_turn(tiny: Preprocessor) -> None:
    text = prompt_ids(tiny, text_input="user\nhello")
    opening = prompt_ids(tiny, text_input="assistant\n")
    newline = prompt_ids(tiny, text_input="\n")
    assert prompt_ids(tiny, messages=[{"role": "user", "content": "hello"}]) == [
        1,
        *text,
        2,
        *newline,
        1,
        *opening,
    ]


@pytest.mark.parametrize(("today_date", "year"), [("5 Aug 2024", "05 Aug 2024"), ("today", " 20")])
def test_the_date_is_the_parameter_s(
    llama_models_folder: Path, reference: Reference, today_date: str, year: str
) -> None:
    settings = read_settings(LLAMA_PARAMETERS | {"today_date": today_date}, llama_models_folder)
    template = ChatTemplate(
        (settings.tokenizer_folder / "chat_template.jinja").read_text("utf-8"), settings.today
    )
    rendered = template.render(SEED_CHAT, None, add_generation_prompt=True)
    assert year in rendered.split("Today Date: ")[1].split("\n")[0]


def test_the_date_of_the_environment_goes_before_it(
    llama_models_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TODAY_DATE", "9 May 2025")
    assert read_settings(LLAMA_PARAMETERS, llama_models_folder).today().year == 2025
    monkeypatch.setenv("TODAY_DATE", "tomorrow")
    with pytest.raises(ValueError, match="TODAY_DATE must be like 26 Jul 2024, or today, not 'tomorrow'"):
        read_settings(LLAMA_PARAMETERS, llama_models_folder)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ((None, False), ChatOptions(True, False)),
        ((True, False), ChatOptions(True, False)),
        ((False, False), ChatOptions(False, False)),
        ((None, True), ChatOptions(False, True)),
        ((False, True), ChatOptions(False, True)),
    ],
)
def test_how_the_options_combine(asked: tuple[bool | None, bool], expected: ChatOptions) -> None:
    assert read_options(*asked) == expected
