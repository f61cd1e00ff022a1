"""The tests mirror the tree: tests/a/test_b.py tests a/b.py, and test_main.py __main__.py."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MIRRORED = ("frontend", "build", "serving", "scripts")
# Files that test no file of their name, and what they test. An entry that is not needed fails.
OTHERS = {
    "build/llm_api/test_engine.py": "build/llm_api/model/1",
    "build/llm_api/test_serving.py": "build/llm_api/model/1",
    "build/llm_api/test_settings.py": "build/llm_api/model/1",
    "build/plan/test_published_cases.py": "build/plan",
    "frontend/api/test_any_json.py": "frontend/api",
    "frontend/api/test_bad_requests.py": "frontend/api",
    "frontend/api/test_description.py": "frontend/api",
    "frontend/api/test_disconnects.py": "frontend/api",
    "frontend/api/test_failures.py": "frontend/api",
    "frontend/api/test_field_names.py": "frontend/api",
    "frontend/api/test_nonsense.py": "frontend/api",
    "frontend/api/test_overload.py": "frontend/limits",
    "frontend/api/test_usage.py": "frontend/api",
    "frontend/page/test_chat.py": "frontend/page/chat.html",
    "frontend/page/test_docs.py": "frontend/page/docs.html",
    "frontend/triton/test_pruning.py": "frontend/triton",
    "scripts/replay/test_replay_contract.py": "scripts/replay/tensorrt_llm/1",
    "scripts/replay/test_replay_count.py": "scripts/replay/tensorrt_llm/1",
    "scripts/replay/test_replay_faults.py": "scripts/replay/tensorrt_llm/1",
    "scripts/replay/test_replay_load.py": "scripts/replay/tensorrt_llm/1",
    "scripts/replay/test_replay_words.py": "scripts/replay/tensorrt_llm/1",
    "scripts/soak/test_soak.py": "scripts/soak",
    "scripts/test_find_python.py": "scripts/find_python.sh",
    "scripts/test_lock.py": "scripts/requirements.txt",
}


def mirrors() -> list[str]:
    found = [path for room in MIRRORED for path in (ROOT / "tests" / room).rglob("test_*.py")]
    return sorted(str(path.relative_to(ROOT / "tests")) for path in found)


def source(name: str) -> Path:
    path = ROOT / Path(name).with_name(Path(name).name.removeprefix("test_"))
    return path.with_name("__main__.py") if path.name == "main.py" else path


@pytest.mark.parametrize("name", mirrors())
def test_a_source_file_has_its_name(name: str) -> None:
    assert source(name).is_file() or name in OTHERS, f"there is no {source(name).relative_to(ROOT)}"


@pytest.mark.parametrize("name", OTHERS)
def test_an_exception_is_one(name: str) -> None:
    assert (ROOT / "tests" / name).is_file()
    assert not source(name).is_file(), "its entry in OTHERS is to be deleted"
    assert (ROOT / OTHERS[name]).exists()
