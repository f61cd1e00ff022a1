"""The fields that the chart may use of resources that Kubernetes itself doesn't know.

As their projects document them: LeaderWorkerSet v1 on lws.sigs.k8s.io (API reference), ScaledObject v1alpha1
on keda.sh (ScaledObject specification), ServiceMonitor v1 on prometheus-operator.dev (API reference).
"""

from collections.abc import Mapping
from typing import Any


def _closed(properties: Mapping[str, Any], *required: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


_TEXT = {"type": "string", "minLength": 1}
_COUNT = {"type": "integer", "minimum": 1}
_TEXTS = {"type": "object", "additionalProperties": _TEXT}
# Pod templates are validated as pods, by Kubernetes' own schema.
_POD_TEMPLATE = _closed({"metadata": {"type": "object"}, "spec": {"type": "object"}}, "spec")
_METADATA = {"type": "object", "required": ["name"]}

_LEADER_WORKER_SET = _closed(
    {
        "replicas": _COUNT,
        "startupPolicy": {"enum": ["LeaderCreated", "LeaderReady"]},
        "leaderWorkerTemplate": _closed(
            {
                "size": _COUNT,
                "restartPolicy": {"enum": ["RecreateGroupOnPodRestart", "None"]},
                "leaderTemplate": _POD_TEMPLATE,
                "workerTemplate": _POD_TEMPLATE,
            },
            "workerTemplate",
        ),
    },
    "leaderWorkerTemplate",
)
_SCALED_OBJECT = _closed(
    {
        "scaleTargetRef": _closed({"apiVersion": _TEXT, "kind": _TEXT, "name": _TEXT}, "name"),
        "minReplicaCount": {"type": "integer", "minimum": 0},
        "maxReplicaCount": _COUNT,
        "advanced": _closed({"horizontalPodAutoscalerConfig": _closed({"behavior": {"type": "object"}})}),
        "triggers": {
            "type": "array",
            "items": _closed(
                {
                    "type": {"const": "prometheus"},
                    "metadata": _closed(
                        {"serverAddress": _TEXT, "query": _TEXT, "threshold": _TEXT},
                        "serverAddress",
                        "query",
                        "threshold",
                    ),
                },
                "type",
                "metadata",
            ),
        },
    },
    "scaleTargetRef",
    "triggers",
)
_SERVICE_MONITOR = _closed(
    {
        "selector": _closed({"matchLabels": _TEXTS}),
        "endpoints": {
            "type": "array",
            "items": _closed(
                {
                    "port": _TEXT,
                    "path": _TEXT,
                    "interval": _TEXT,
                }
            ),
        },
    },
    "selector",
    "endpoints",
)

SCHEMAS: Mapping[tuple[str, str], dict[str, Any]] = {
    (api, kind): _closed(
        {"apiVersion": {"const": api}, "kind": {"const": kind}, "metadata": _METADATA, "spec": spec},
        "apiVersion",
        "kind",
        "metadata",
        "spec",
    )
    for api, kind, spec in (
        ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", _LEADER_WORKER_SET),
        ("keda.sh/v1alpha1", "ScaledObject", _SCALED_OBJECT),
        ("monitoring.coreos.com/v1", "ServiceMonitor", _SERVICE_MONITOR),
    )
}
