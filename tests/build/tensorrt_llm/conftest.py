import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from build.gpus import detected_gpus
from build.progress import Reporter
from build.tensorrt_llm.engine_build import build_tensorrt_llm
from build.tensorrt_llm.order import Order
from build.tensorrt_llm.preflight import Machine
from tests.build.tensorrt_llm.llama_folder import write_llama
from tests.build.tensorrt_llm.standins import StandIns, install

TB = 10**12


@dataclass
class Workshop:
    """A model, the stand-ins and a machine with plenty of everything."""

    root: Path
    tools: StandIns
    memory_bytes: int = TB
    disk_bytes: int = TB
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def model(self) -> Path:
        return self.root / "Llama-3.1-8B-Instruct"

    @property
    def engine(self) -> Path:
        return self.root / "engines" / "llama"

    def order(self, **wishes: Any) -> Order:
        plain: dict[str, Any] = {
            "model": self.model,
            "name": "llama",
            "served_model_name": None,
            "precision": None,
            "recipe": None,
            "settings": (),
            "adapters": (),
            "serving": {},
            "engines": self.root / "engines",
        }
        return Order(**{**plain, **wishes})

    def machine(self) -> Machine:
        return Machine(detected_gpus(), self.memory_bytes, lambda _: self.disk_bytes)

    def build(self, **wishes: Any) -> str:
        """Builds what is wished for; returns what was said."""
        said = io.StringIO()
        reporter = Reporter(Console(file=said, width=1000))
        build_tensorrt_llm(self.order(**wishes), self.machine, reporter, self.variables)
        return said.getvalue()


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """TensorRT-LLM's tools are here, as inside NVIDIA's container."""
    tools = install(tmp_path / "tools")
    monkeypatch.setenv("PATH", f"{tools.bin}:/usr/bin:/bin")
    shop = Workshop(tmp_path, tools, variables={"TENSORRT_LLM_EXAMPLES": str(tools.examples)})
    write_llama(shop.model)
    return shop


@pytest.fixture
def docker_workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """A host with GPUs and Docker, and no TensorRT-LLM."""
    tools = install(tmp_path / "tools", docker=True)
    monkeypatch.setenv("PATH", f"{tools.bin}:/usr/bin:/bin")
    shop = Workshop(tmp_path, tools)
    write_llama(shop.model)
    return shop
