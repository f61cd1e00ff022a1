"""The command lines of TensorRT-LLM's build tools."""

from dataclasses import dataclass
from pathlib import Path

from build.tensorrt_llm.flags import Value, arguments
from build.tensorrt_llm.recipe import Recipe

_SCRIPTS = {
    "convert_checkpoint": "models/core/llama/convert_checkpoint.py",
    "quantize": "quantization/quantize.py",
    "generate_xgrammar_tokenizer_info": "generate_xgrammar_tokenizer_info.py",
    "hf_lora_convert": "hf_lora_convert.py",
}


@dataclass(frozen=True)
class Tools:
    """The Python that has tensorrt_llm, and the folder of upstream's examples; trtllm-build is in PATH."""

    python: str
    examples: Path

    def checkpoint(self, recipe: Recipe, model: Path, output: Path) -> list[str]:
        """Converts or quantizes a Hugging Face folder into a TensorRT-LLM checkpoint."""
        ends: dict[str, Value] = {"model_dir": str(model), "output_dir": str(output)}
        return self._script(recipe.tool, {**ends, **recipe.checkpoint})

    def engine(self, recipe: Recipe, checkpoint: Path, output: Path, num_gpus: int) -> list[str]:
        """Compiles one engine for each rank; all ranks on this machine, also those of other nodes."""
        ends: dict[str, Value] = {
            "checkpoint_dir": str(checkpoint),
            "output_dir": str(output),
            # Beside the engine: upstream's default is the working directory.
            "output_timing_cache": str(output.parent / "timing.cache"),
        }
        values = {**ends, **recipe.build, "workers": recipe.engine_workers(num_gpus)}
        return ["trtllm-build", *arguments("build", values)]

    def tokenizer_info(self, model: Path, output: Path) -> list[str]:
        """Writes the xgrammar_tokenizer_info.json that guided decoding needs."""
        ends: dict[str, Value] = {"model_dir": str(model), "output_dir": str(output)}
        return self._script("generate_xgrammar_tokenizer_info", ends)

    def adapter(self, source: Path, output: Path) -> list[str]:
        """Writes the two .npy files of a LoRA adapter, in float16 as Triton's tensor lora_weights."""
        ends: dict[str, Value] = {
            "in-file": str(source),
            "out-dir": str(output),
            "storage-type": "float16",
        }
        return self._script("hf_lora_convert", ends)

    def _script(self, command: str, values: dict[str, Value]) -> list[str]:
        return [self.python, str(self.examples / _SCRIPTS[command]), *arguments(command, values)]
