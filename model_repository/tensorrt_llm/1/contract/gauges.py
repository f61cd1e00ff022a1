"""The engine's gauges on Triton's metrics port."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]

from contract.metrics import Family, OpenFamily


class TritonGauge:
    """Keeps its family: one that Python forgets takes its gauges with it."""

    def __init__(self, family: Any, labels: Mapping[str, str]) -> None:
        # In this order they are forgotten, and a family must outlive its gauges.
        self._metric = family.Metric(labels=labels)
        self._family = family

    def set(self, value: float) -> None:
        self._metric.set(value)


def opener(args: Mapping[str, str]) -> OpenFamily:
    """Takes what Triton tells a model of itself."""
    return partial(_open_family, {"model": args["model_name"], "version": args["model_version"]})


def _open_family(labels: Mapping[str, str], family: Family) -> Mapping[str, TritonGauge]:
    opened = pb_utils.MetricFamily(
        name=family.name, description=family.text, kind=pb_utils.MetricFamily.GAUGE
    )
    return {value: TritonGauge(opened, {**labels, family.label: value}) for value in family.values}
