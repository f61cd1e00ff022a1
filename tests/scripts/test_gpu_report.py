"""The report over stand-ins of upstream's tools: what is as assumed, what differs, and the archive."""

import tarfile
from pathlib import Path

import pytest

from build.gpus import detected_gpus
from build.tensorrt_llm.toolchain import find_toolchain
from scripts.gpu_report import Report, Verdict, write_archive
from tests.build.tensorrt_llm.standins import StandIns, install


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIns:
    tools = install(tmp_path / "tools")
    monkeypatch.setenv("PATH", f"{tools.bin}:/usr/bin:/bin")
    return tools


def verdicts(tools: StandIns, folder: Path) -> dict[str, Verdict]:
    folder.mkdir(exist_ok=True)
    toolchain = find_toolchain([], [folder], folder, {"TENSORRT_LLM_EXAMPLES": str(tools.examples)})
    return {verdict.what: verdict for verdict in Report(toolchain, folder).verdicts(detected_gpus())}


def test_what_is_as_assumed(tools: StandIns, tmp_path: Path) -> None:
    found = verdicts(tools, tmp_path / "report")
    for what in ("GPUs", "driver", "NVLink", "tensorrt_llm", "flags of build", "flags of quantize"):
        assert found[what].is_right, found[what]
        assert str(found[what]).startswith(f"ok       {what}: ")


def test_what_differs_is_told_with_what_was_assumed(tools: StandIns, tmp_path: Path) -> None:
    tools.lose("--multiple_profiles")
    found = verdicts(tools, tmp_path / "report")
    assert str(found["flags of build"]) == (
        "DIFFERS  flags of build: lacks --multiple_profiles; assumed those of build/tensorrt_llm/flags.toml"
    )
    assert "assumed 0.1.25" in str(found["xgrammar"])
    assert "assumed /opt/venv-tritonserver" in str(found["python3 on the PATH"])


def test_the_archive_holds_verdicts_and_answers(tools: StandIns, tmp_path: Path) -> None:
    folder = tmp_path / "report"
    told = list(verdicts(tools, folder).values())
    with tarfile.open(write_archive(folder, told, tmp_path / "results")) as archive:
        names = archive.getnames()
        file = archive.extractfile("gpu-report/verdicts.txt")
        assert file is not None
        assert len(file.read().splitlines()) == len(told)
    assert {"gpu-report/nvlink.txt", "gpu-report/help-build.txt", "gpu-report/version-xgrammar.txt"} <= set(
        names
    )
