"""The Helm chart, linted and rendered by Helm and held to the schemas of the oldest and newest Kubernetes."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from frontend.settings import Settings
from scripts.serve import FRONTEND_SILENCE_S
from tests.deploy.chart import CHART, KEYS, MULTI_NODE, VALUES, one, pod_templates, render
from tests.deploy.custom_resources import SCHEMAS

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("validators")]
# Of Chart.yaml's kubeVersion, and the newest that the validator knows.
KUBERNETES = ("1.27", "1.37")
INFO = 1


@pytest.fixture(scope="module", params=VALUES)
def objects(request: pytest.FixtureRequest, validators: Path) -> list[dict[str, Any]]:
    return render(VALUES[request.param])


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_helm_finds_nothing_to_say(values: dict[str, Any]) -> None:
    import helm_python

    report = helm_python.lint(str(CHART), dict(values), strict=True)
    assert not report["errors"]
    assert {message["severity"] for message in report["messages"]} <= {INFO}


@pytest.mark.parametrize("version", KUBERNETES)
def test_every_object_fits_its_schema(objects: list[dict[str, Any]], version: str) -> None:
    import jsonschema
    import kubernetes_validate

    for item in objects:
        if schema := SCHEMAS.get((item["apiVersion"], item["kind"])):
            jsonschema.validate(item, schema)
        else:
            kubernetes_validate.validate(item, version, strict=True)
    for template in pod_templates(objects):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": template["spec"]}
        kubernetes_validate.validate(pod, version, strict=True)


def test_no_two_objects_have_one_name(objects: list[dict[str, Any]]) -> None:
    names = [(item["kind"], item["metadata"]["name"]) for item in objects]
    assert len(names) == len(set(names))


def test_pods_are_locked_down(objects: list[dict[str, Any]]) -> None:
    for template in pod_templates(objects):
        pod = template["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] is True
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}


def test_servers_have_probes_and_mounts_have_volumes(objects: list[dict[str, Any]]) -> None:
    for template in pod_templates(objects):
        pod = template["spec"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
            if "ports" in container:
                assert {"readinessProbe", "livenessProbe"} <= container.keys()


def test_a_busy_frontend_is_left_alone_as_long_as_by_its_supervisor(objects: list[dict[str, Any]]) -> None:
    container = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    probe = container["livenessProbe"]
    assert probe["timeoutSeconds"] >= FRONTEND_SILENCE_S
    assert probe["httpGet"] == {"path": "/health/live", "port": "ops"}


def test_the_frontend_knows_every_setting_it_gets(objects: list[dict[str, Any]]) -> None:
    container = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert {setting["name"].lower() for setting in container["env"]} <= Settings.model_fields.keys()


def test_workloads_select_their_own_pods(objects: list[dict[str, Any]]) -> None:
    labels = [template["metadata"]["labels"] for template in pod_templates(objects)]
    for item in objects:
        spec = item.get("spec", {})
        for selector in (spec.get("selector"), spec.get("podSelector")):
            if selector and item["kind"] != "ServiceMonitor":
                wanted = selector.get("matchLabels", selector)
                assert any(wanted.items() <= own.items() for own in labels), item["metadata"]["name"]


def test_triton_is_reached_by_the_frontend_alone() -> None:
    objects = render(VALUES["least"])
    (rule,) = one(objects, "NetworkPolicy", "demo-triton")["spec"]["ingress"]
    (peer,) = rule["from"]
    frontend = one(objects, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert rule["ports"] == [{"port": 8001}, {"port": 8002}]
    assert peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "frontend"
    assert peer["podSelector"]["matchLabels"].items() <= frontend.items()
    assert [
        item["spec"]["type"] for item in objects if item["kind"] == "Service" and "type" in item["spec"]
    ] == ["ClusterIP"]


def test_no_policy_is_left_when_the_network_is_open() -> None:
    assert "NetworkPolicy" not in {item["kind"] for item in render(VALUES["open network"])}


def addresses(values: dict[str, Any], kind: str = "GRPC") -> str:
    container = one(render(values), "Deployment")["spec"]["template"]["spec"]["containers"][0]
    return next(str(item["value"]) for item in container["env"] if item["name"] == f"TRITON_{kind}_ADDRESSES")


ADDRESSES = [
    (
        "three copies",
        "demo-triton-0.demo-triton:8001,demo-triton-1.demo-triton:8001,demo-triton-2.demo-triton:8001",
    ),
    ("one node, scaled", "demo-triton:8001"),
    ("two nodes", "demo-triton-0.demo-triton:8001"),
    ("two nodes, scaled", "demo-triton-leaders:8001"),
]


@pytest.mark.parametrize(("values", "expected"), ADDRESSES)
def test_the_frontend_finds_every_triton(values: str, expected: str) -> None:
    assert addresses(dict(VALUES[values])) == expected
    assert addresses(dict(VALUES[values]), "METRICS") == expected.replace(":8001", ":8002")


def test_triton_serves_its_metrics_where_the_frontend_looks(objects: list[dict[str, Any]]) -> None:
    (container,) = (
        container
        for template in pod_templates(objects)
        for container in template["spec"]["containers"]
        if container["name"] == "triton" and "--engine" in container.get("args", ())
    )
    assert container["args"][-2:] == ["--metrics-port", "8002"]
    assert {"name": "metrics", "containerPort": 8002} in container["ports"]


def test_an_engine_over_two_nodes_is_one_group() -> None:
    objects = render(VALUES["two nodes"])
    group = one(objects, "LeaderWorkerSet")["spec"]["leaderWorkerTemplate"]
    assert group["size"] == 2
    assert group["restartPolicy"] == "RecreateGroupOnPodRestart"
    for template in (group["leaderTemplate"], group["workerTemplate"]):
        (container,) = template["spec"]["containers"]
        assert container["resources"]["limits"]["nvidia.com/gpu"] == 8
        assert container["resources"]["limits"]["rdma/ib"] == 1
        assert {"name": "NCCL_IB_HCA", "value": "mlx5"} in container["env"]
    assert "StatefulSet" not in {item["kind"] for item in objects}


def test_workers_take_no_requests() -> None:
    """Their pods have another label than the leaders', by which Services and the frontend's rule select."""
    group = one(render(VALUES["two nodes"]), "LeaderWorkerSet")["spec"]["leaderWorkerTemplate"]
    parts = [
        group[name]["metadata"]["labels"]["app.kubernetes.io/component"]
        for name in group
        if "Template" in name
    ]
    assert parts == ["triton", "worker"]


BAD_VALUES = [
    ("frontend.keysSecret", {}),
    ("sshSecret", {**KEYS, "triton": {"multiNode": {"enabled": True}}}),
    ("gpus", {**KEYS, "triton": {"gpus": 9}}),
    ("nodes", {**KEYS, "triton": {"multiNode": {"nodes": 1}}}),
    ("engine", {**KEYS, "triton": {"engine": "../secrets"}}),
    ("accessMode", {**KEYS, "engines": {"accessMode": "All"}}),
    ("size", {**KEYS, "engines": {"size": "2 TB"}}),
    ("model", {**KEYS, "buildEngines": {"model": "relative"}}),
    ("max-body", {"frontend": {**KEYS["frontend"], "settings": {"max-body": 1}}}),
    ("replica", {**KEYS, "triton": {"replica": 2}}),
    ("port", {"frontend": {**KEYS["frontend"], "service": {"port": 0}}}),
    ("serviceMonitor", {**KEYS, "metrics": {"serviceMonitor": "yes"}}),
]


@pytest.mark.parametrize(("named", "values"), BAD_VALUES)
def test_a_bad_value_stops_the_release_by_name(named: str, values: dict[str, Any]) -> None:
    import helm_python

    with pytest.raises(helm_python.HelmError, match=named):
        render(values)


def test_every_value_is_in_the_schema_and_every_switch_is_tried() -> None:
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    assert render({**KEYS, **{part: values for part, values in defaults.items() if part != "frontend"}})
    tried = [str(values) for values in VALUES.values()]
    for switch in ("autoscaling", "multiNode", "buildEngines", "networkPolicy", "serviceMonitor"):
        assert any(switch in text for text in tried)
    assert MULTI_NODE["multiNode"].keys() == defaults["triton"]["multiNode"].keys()
