"""What is counted for /metrics: each value has a fixed place, so that counting is one addition.

Names, buckets and labels of vLLM 0.33 (vllm/v1/metrics/loggers.py) where it has the metric, so that its
dashboards and autoscalers find them; our own begin with `llama_frontend_`.
"""

import copy
import mmap
from bisect import bisect_left
from collections.abc import Sequence
from itertools import product
from typing import TypeAlias

import numpy as np

# A worker's values, of doubles.
Row: TypeAlias = "memoryview[float]"

_families: "list[Counter | Histogram]" = []


class Counter:
    """One value for each combination of its labels' values; others can't be counted."""

    def __init__(self, name: str, text: str, **labels: Sequence[str]) -> None:
        self.name = name
        self.text = text
        self.labels = tuple(labels)
        self.combinations = tuple(product(*labels.values()))
        self.start = _claim(self)
        self.at = dict(zip(self.combinations, range(self.start, self.start + self.size), strict=True))
        """Labels' values -> the place in a row."""

    @property
    def size(self) -> int:
        return len(self.combinations)

    def add(self, row: Row, amount: float, *labels: str) -> None:
        row[self.at[labels]] += amount


class Histogram:
    """The last of its values is the sum, the others are the buckets, not cumulated."""

    def __init__(self, name: str, text: str, bounds: Sequence[float]) -> None:
        self.name = name
        self.text = text
        self.bounds = list(bounds)
        self.start = _claim(self)
        self._sum_at = self.start + len(self.bounds) + 1

    @property
    def size(self) -> int:
        return len(self.bounds) + 2

    def observe(self, row: Row, value: float) -> None:
        row[self.start + bisect_left(self.bounds, value)] += 1
        row[self._sum_at] += value


def _claim(family: Counter | Histogram) -> int:
    start = num_values()
    _families.append(family)
    return start


def num_values() -> int:
    """How long a row is."""
    return sum(family.size for family in _families)


def _steps(limit: int) -> list[float]:
    """1, 2, 5, 10, 20, 50 and so on, up to the limit."""
    steps = [mantissa * 10.0**exponent for exponent in range(7) for mantissa in (1, 2, 5)]
    return [step for step in steps if step <= limit]


# As long as the longest context of Llama 3.1; vLLM goes up to the model's.
_TOKEN_STEPS = _steps(131_072)
_REQUEST_SECONDS = (
    0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680,
)  # fmt: skip
_FIRST_TOKEN_SECONDS = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160,
    640, 2560,
)  # fmt: skip
_TOKEN_SECONDS = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
)  # fmt: skip

FINISHED_REASONS = ("stop", "length", "abort", "error")
REFUSALS = ("line_full", "waited_too_long", "key_limit")
OTHER = "other"
MODEL_ROUTE = "/v1/models/{model}"
# The application's own; a path that leads nowhere is "other", so that clients can't make labels.
ROUTES = (
    "/", "/status", "/docs", "/health/live", "/health/ready", "/metrics", "/metrics/triton", "/openapi.json",
    "/version",
    "/v1/chat/completions", "/v1/completions", "/v1/models", MODEL_ROUTE, "/v1/responses",
    "/v1/responses/input_tokens", "/v1/messages", "/v1/messages/count_tokens", "/tokenize", "/detokenize",
    "/tokenizer_info", "/health", OTHER,
)  # fmt: skip
STATUSES = (
    "200", "400", "401", "404", "405", "408", "413", "414", "415", "429", "431", "499", "500", "503", "504",
    OTHER,
)  # fmt: skip

PROMPT_TOKENS = Counter("vllm:prompt_tokens", "Prompt tokens of generations that have begun.")
GENERATION_TOKENS = Counter("vllm:generation_tokens", "Tokens generated.")
PROMPT_TOKENS_CACHED = Counter("vllm:prompt_tokens_cached", "Prompt tokens found in the KV cache.")
PREFIX_QUERIES = Counter("vllm:prefix_cache_queries", "Prompt tokens looked for in the KV cache.")
PREFIX_HITS = Counter("vllm:prefix_cache_hits", "Prompt tokens found in the KV cache.")
FINISHED = Counter(
    "vllm:request_success", "Generations that have ended, by reason.", finished_reason=FINISHED_REASONS
)
FIRST_TOKEN = Histogram(
    "vllm:time_to_first_token_seconds", "From arrival to the first token, of streams.", _FIRST_TOKEN_SECONDS
)
INTER_TOKEN = Histogram(
    "vllm:inter_token_latency_seconds", "Between two responses of the engine, of streams.", _TOKEN_SECONDS
)
PER_OUTPUT_TOKEN = Histogram(
    "vllm:request_time_per_output_token_seconds",
    "A generation's mean time between tokens, of streams.",
    _TOKEN_SECONDS,
)
END_TO_END = Histogram("vllm:e2e_request_latency_seconds", "From arrival to the end.", _REQUEST_SECONDS)
QUEUE_TIME = Histogram("vllm:request_queue_time_seconds", "In the frontend's line.", _REQUEST_SECONDS)
INFERENCE_TIME = Histogram(
    "vllm:request_inference_time_seconds", "From the end of the line to the end.", _REQUEST_SECONDS
)
PREFILL_TIME = Histogram(
    "vllm:request_prefill_time_seconds",
    "From the end of the line to the first token, of streams.",
    _REQUEST_SECONDS,
)
DECODE_TIME = Histogram(
    "vllm:request_decode_time_seconds", "From the first token to the last, of streams.", _REQUEST_SECONDS
)
PROMPT_LENGTH = Histogram("vllm:request_prompt_tokens", "Prompt tokens of a generation.", _TOKEN_STEPS)
ANSWER_LENGTH = Histogram("vllm:request_generation_tokens", "Tokens of a generation.", _TOKEN_STEPS)
PARAMS_N = Histogram("vllm:request_params_n", "Generations of a request.", (1, 2, 5, 10, 20))
PARAMS_MAX_TOKENS = Histogram(
    "vllm:request_params_max_tokens", "max_tokens of a generation that has it.", _TOKEN_STEPS
)
HTTP_REQUESTS = Counter(
    "llama_frontend_http_requests", "Answers, by route and status.", route=ROUTES, status=STATUSES
)
REFUSED_REQUESTS = Counter(
    "llama_frontend_refused_requests", "Requests not let in, by reason.", reason=REFUSALS
)

FAMILIES = tuple(_families)


_ROUTES = frozenset(ROUTES)
_MODEL_PATH = MODEL_ROUTE.partition("{")[0]
_STATUSES = {int(status): status for status in STATUSES if status != OTHER}


def count_answer(row: Row, path: str, status: int) -> None:
    """Of HTTP; by the route as it was declared, for the path may hold anything."""
    route = MODEL_ROUTE if path.startswith(_MODEL_PATH) else path
    HTTP_REQUESTS.add(row, 1, route if route in _ROUTES else OTHER, _STATUSES.get(status, OTHER))


class SharedMetrics:
    """The counts of all workers: a block of memory, made before the fork, with a row for each of them.

    A worker adds to its own row alone, without a lock. One that takes a dead worker's place goes on in its
    row, so that no counter falls. Recording a token takes 1.4 us here and 12 us in prometheus_client's
    multiprocess mode, which keeps its values in mapped files.
    """

    def __init__(self, num_workers: int = 1) -> None:
        self._num_values = num_values()
        self._memory = mmap.mmap(-1, 8 * num_workers * self._num_values)
        self.row = self._row(0)

    def of_worker(self, worker: int) -> "SharedMetrics":
        """The same block with that worker's row as the one to add to."""
        other = copy.copy(self)
        other.row = self._row(worker)
        return other

    def totals(self) -> list[float]:
        """The sums over all workers, each value in its place."""
        rows = np.frombuffer(self._memory, np.float64).reshape(-1, self._num_values)
        totals: list[float] = rows.sum(0).tolist()
        return totals

    def _row(self, worker: int) -> Row:
        start = worker * self._num_values
        return memoryview(self._memory).cast("d")[start : start + self._num_values]
