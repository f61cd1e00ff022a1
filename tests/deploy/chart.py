"""Renders the chart with Helm itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[2] / "deploy" / "chart"
KEYS = {"frontend": {"keysSecret": "llama-keys"}}
MULTI_NODE = {
    "engine": "llama-3.1-405b-instruct-bf16",
    "multiNode": {
        "enabled": True,
        "nodes": 2,
        "gpusPerNode": 8,
        "sshSecret": "llama-ssh",
        "networkDevices": {"rdma/ib": 1},
        "environment": {"NCCL_IB_HCA": "mlx5"},
    },
}
# Every switch of values.yaml is on in one of these.
VALUES: Mapping[str, Mapping[str, Any]] = {
    "least": KEYS,
    "one node, scaled": {
        **KEYS,
        "triton": {"gpus": 8, "autoscaling": {"enabled": True}, "nodeSelector": {"gpu": "h100"}},
        "buildEngines": {
            "enabled": True,
            "checkpointsClaim": "checkpoints",
            "settings": {"PRECISION": "fp8", "TP": 8},
        },
        "metrics": {
            "serviceMonitor": True,
            "allowFrom": [{"podSelector": {"matchLabels": {"app": "prometheus"}}}],
        },
        "imagePullSecrets": [{"name": "registry"}],
    },
    "three copies": {
        "frontend": {
            **KEYS["frontend"],
            "settings": {"MAX_BODY_BYTES": 1048576},
            "autoscaling": {"enabled": False},
            "allowFrom": [{"namespaceSelector": {"matchLabels": {"ingress": "yes"}}}],
            "nodeSelector": {"pool": "cpu"},
            "tolerations": [{"operator": "Exists"}],
        },
        "triton": {"replicas": 3},
        "engines": {"claim": "my-engines"},
    },
    "two nodes": {**KEYS, "triton": MULTI_NODE},
    "two nodes, scaled": {**KEYS, "triton": {**MULTI_NODE, "autoscaling": {"enabled": True}}},
    "open network": {**KEYS, "networkPolicy": {"enabled": False}, "engines": {"storageClass": "fast"}},
}


def render(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every object of the release `demo`, as a cluster would get it."""
    import helm_python

    with helm_python.Chart.load(str(CHART)) as chart:
        files = chart.render(dict(values), name="demo", namespace="serving")
    texts = [text for name, text in sorted(files.items()) if name.endswith(".yaml")]
    return [document for text in texts for document in yaml.safe_load_all(text) if document]


def one(objects: list[dict[str, Any]], kind: str, name: str | None = None) -> dict[str, Any]:
    found = [item for item in objects if item["kind"] == kind and name in (None, item["metadata"]["name"])]
    assert len(found) == 1, f"{len(found)} objects of kind {kind}"
    return found[0]


def pod_templates(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    templates = []
    for item in objects:
        if item["kind"] == "LeaderWorkerSet":
            group = item["spec"]["leaderWorkerTemplate"]
            templates += [group["leaderTemplate"], group["workerTemplate"]]
        elif "template" in item.get("spec", {}):
            templates.append(item["spec"]["template"])
    return templates
