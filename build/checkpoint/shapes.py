"""Sizes of Llama models, as far as memory depends on them: of 3.1 by name, of others by their config.json."""

import json
from dataclasses import dataclass
from pathlib import Path

from build.errors import BuildError


@dataclass(frozen=True)
class LlamaShape:
    """Lengths of the model's tensors; context is the longest one it was trained for, in tokens."""

    name: str
    num_layers: int
    hidden: int
    intermediate: int
    num_heads: int
    num_kv_heads: int
    head_size: int
    vocab: int
    context: int
    is_tied: bool = False

    @property
    def attention_weights(self) -> int:
        """Weights of one layer's four attention projections."""
        return 2 * self.hidden * self.head_size * (self.num_heads + self.num_kv_heads)

    @property
    def mlp_weights(self) -> int:
        """Weights of one layer's gate, up and down projections."""
        return 3 * self.hidden * self.intermediate

    @property
    def embedding_weights(self) -> int:
        """Weights of the embedding, and of the output head unless that is the same."""
        return self.vocab * self.hidden

    @property
    def num_weights(self) -> int:
        """All weights but the norms' few."""
        heads = 1 if self.is_tied else 2
        layers = self.num_layers * (self.attention_weights + self.mlp_weights)
        return layers + heads * self.embedding_weights


# Their config.json on Hugging Face, meta-llama/Llama-3.1-*-Instruct.
LLAMA_3_1 = {
    "8b": LlamaShape("Llama 3.1 8B", 32, 4096, 14336, 32, 8, 128, 128256, 131072),
    "70b": LlamaShape("Llama 3.1 70B", 80, 8192, 28672, 64, 8, 128, 128256, 131072),
    "405b": LlamaShape("Llama 3.1 405B", 126, 16384, 53248, 128, 8, 128, 128256, 131072),
}


def find_shape(model: str) -> LlamaShape:
    """The shape of `8b`, `70b`, `405b`, or of a Hugging Face folder or config.json; raises BuildError."""
    if model.lower() in LLAMA_3_1:
        return LLAMA_3_1[model.lower()]
    path = Path(model).expanduser()
    path = path / "config.json" if path.is_dir() else path
    if not path.is_file():
        raise BuildError(
            f"MODEL: {model} is none of {', '.join(LLAMA_3_1)}, and no folder with a config.json."
        )
    return _read(path)


def _read(path: Path) -> LlamaShape:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        if config["model_type"] != "llama":
            raise BuildError(f"MODEL: {path} is of a {config['model_type']}, not of a Llama.")
        heads = int(config["num_attention_heads"])
        return LlamaShape(
            name=path.resolve().parent.name,
            num_layers=int(config["num_hidden_layers"]),
            hidden=int(config["hidden_size"]),
            intermediate=int(config["intermediate_size"]),
            num_heads=heads,
            num_kv_heads=int(config.get("num_key_value_heads") or heads),
            head_size=int(config.get("head_dim") or config["hidden_size"] // heads),
            vocab=int(config["vocab_size"]),
            context=int(config["max_position_embeddings"]),
            is_tied=bool(config.get("tie_word_embeddings", False)),
        )
    except (ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise BuildError(f"MODEL: {path} is no config.json of a Llama: {error!r}.") from error
