"""Stand-ins of upstream's build tools: each refuses what upstream's argument parser, as recorded, refuses.

They leave what the real ones leave (names and keys, not weights) and note every call.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
_SCRIPTS = {
    "convert_checkpoint": "models/core/llama/convert_checkpoint.py",
    "quantize": "quantization/quantize.py",
    "generate_xgrammar_tokenizer_info": "generate_xgrammar_tokenizer_info.py",
    "hf_lora_convert": "hf_lora_convert.py",
}


@dataclass(frozen=True)
class StandIns:
    """`bin` goes into PATH."""

    folder: Path

    @property
    def bin(self) -> Path:
        return self.folder / "bin"

    @property
    def examples(self) -> Path:
        return self.folder / "examples"

    def calls(self, tool: str | None = None) -> list[list[str]]:
        """The arguments of each call, of one tool or with the tools' names before them."""
        path = self.folder / "calls.jsonl"
        calls = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [call[1:] for call in calls if call[0] == tool] if tool else calls

    def forget_calls(self) -> None:
        (self.folder / "calls.jsonl").unlink(missing_ok=True)

    def fail(self, tool: str | None) -> None:
        """From now on this tool fails; None lets all work again."""
        (self.folder / "failing").write_text(tool or "")

    def write_as(self, spelling: str) -> None:
        """In which of upstream's spellings config.json is written (tests/build/compiled_engine.py)."""
        (self.folder / "spelling").write_text(spelling)

    def lose(self, flag: str) -> None:
        """As if upstream had removed it."""
        (self.folder / "lost-flags").write_text(flag)

    def set_gpus(self, *lines: str) -> None:
        (self.folder / "gpus").write_text("".join(f"{line}\n" for line in lines))

    def set_version(self, version: str) -> None:
        metadata = self.folder / "site" / f"tensorrt_llm-{version}.dist-info" / "METADATA"
        for old in (self.folder / "site").glob("*/METADATA"):
            old.unlink()
            old.parent.rmdir()
        metadata.parent.mkdir(parents=True)
        metadata.write_text(f"Metadata-Version: 2.1\nName: tensorrt_llm\nVersion: {version}\n")


def install(folder: Path, *, docker: bool = False) -> StandIns:
    """Writes the executables; with docker the tools are reached through it alone."""
    tools = StandIns(folder)
    inside = folder / "inside"
    for place in (tools.bin, inside):
        place.mkdir(parents=True)
    python = inside / "python3"
    _write(python, f'#!/bin/sh\nPYTHONPATH="{folder}/site:{ROOT}" exec {sys.executable} "$@"\n')
    for tool, script in _SCRIPTS.items():
        path = tools.examples / script
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, _program(tool, folder))
    _write(inside / "trtllm-build", f"#!{python}\n{_program('build', folder)}")
    _write(tools.bin / "nvidia-smi", f"#!{python}\n{_program('nvidia-smi', folder)}")
    if docker:
        _write(tools.bin / "docker", f"#!{python}\n{_program('docker', folder)}")
    else:
        (tools.bin / "trtllm-build").symlink_to(inside / "trtllm-build")
    tools.set_version("1.2.1")
    tools.set_gpus(h100(0))
    return tools


def h100(index: int) -> str:
    """A line of nvidia-smi's table."""
    return f"{index}, GPU-0000000{index}, 590.44.01, NVIDIA H100 80GB HBM3, 81559, 9.0"


def _program(tool: str, folder: Path) -> str:
    return (
        "import sys\n"
        "from tests.build.tensorrt_llm.standin_program import main\n"
        f"sys.exit(main({tool!r}, {str(folder)!r}, sys.argv[1:]))\n"
    )


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)
