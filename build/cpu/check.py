"""Loads an engine as serving does and generates with it: `python -m build.cpu.check FOLDER`."""

import math
import sys
from pathlib import Path

import numpy as np
import openvino as ov
import openvino_genai as genai

NUM_TOKENS = 4


def generate(folder: Path, prompt: list[int]) -> list[float]:
    """Log-probabilities of a few greedily chosen tokens."""
    scheduler = genai.SchedulerConfig()
    scheduler.num_kv_blocks = 16
    pipeline = genai.ContinuousBatchingPipeline(str(folder), scheduler, "CPU", {}, {})
    options = genai.GenerationConfig()
    options.max_new_tokens, options.logprobs = NUM_TOKENS, 1
    # GenAI wants an end id even where none is heeded.
    options.set_eos_token_id(0)
    options.ignore_eos = True
    handle = pipeline.add_request(0, ov.Tensor(np.array([prompt], dtype=np.int64)), options)
    log_probs: list[float] = []
    while pipeline.has_non_finished_requests():
        pipeline.step()
        while handle.can_read():
            for output in handle.read().values():
                log_probs += output.generated_log_probs
    return log_probs


def main() -> int:
    log_probs = generate(Path(sys.argv[1]), prompt=[0, 1, 2])
    if len(log_probs) != NUM_TOKENS or not all(map(math.isfinite, log_probs)):
        sys.stderr.write(f"its tokens have the log-probabilities {log_probs}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
