"""Puts the native replay engine in the place of another one, in a copy of that one's model repository."""

import shutil
from dataclasses import fields
from pathlib import Path

from build.errors import Failure
from build.native_library import compiled_library
from build.paths import ROOT
from build.repository import CONFIG, ENGINE_MODEL, read_config
from scripts.replay.check import words_of
from scripts.replay.options import ReplayOptions
from scripts.replay.repository import copy_repository, write_config
from serving.backends import SOURCES as SHARED

BACKEND = "replay"
SOURCES = ROOT / "native" / "replay"
WORD_IDS = "word_ids.bin"
# What the other replay engine can do and this one can't: request.c refuses them.
LACKING_INPUTS = (
    "embedding_bias",
    "bad_words_list",
    "guided_decoding_guide_type",
    "guided_decoding_guide",
    "return_log_probs",
)
_OPTIONS = (
    "tokens_per_second",
    "jitter",
    "tokens_per_response",
    "answer_length",
    "max_num_seqs",
    "tokens_per_block",
)


def render_native_replay(repository: Path, engine: Path, target: Path, options: ReplayOptions) -> None:
    """As render_replay; raises Failure for an option that is the other replay engine's alone."""
    _require_known(options)
    copy_repository(repository, engine, target, options)
    folder = target / ENGINE_MODEL
    shutil.rmtree(folder / "1")
    (folder / "1").mkdir()
    shutil.copy2(native_replay_library(), folder)
    words_of(engine).ids.astype("<i4").tofile(folder / "1" / WORD_IDS)
    config = read_config(folder / CONFIG)
    config.backend = BACKEND
    config.parameters["unsupported_inputs"].string_value += "".join(f",{name}" for name in LACKING_INPUTS)
    write_config(config, folder / CONFIG)


def native_replay_library() -> Path:
    """Compiled once; raises Failure when it can't be."""
    sources = [
        *sorted(SOURCES.glob("*.c")),
        *(SHARED / f"{name}.c" for name in ("statistics", "triton_error")),
    ]
    headers = [*sorted(SOURCES.glob("*.h")), *sorted(SHARED.glob("*.h"))]
    return compiled_library(f"triton_{BACKEND}", sources, headers)


def _require_known(options: ReplayOptions) -> None:
    for field in fields(options):
        if field.name not in _OPTIONS and getattr(options, field.name) != field.default:
            raise Failure(f"{field.name.upper()} is of ENGINE=replay alone")
