"""The chart as others read it: the schemas of five versions of Kubernetes, of the objects of the Prometheus operator
and the Gateway API, and the rules of kube-score."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import pytest
import yaml

from tests.charts.rendering import (
    KUBERNETES,
    NAMESPACE,
    VALUES,
    Object,
    named,
    of_kind,
    pods,
    rendered,
    title,
    tool,
)

every = pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
VERSIONS: Final = ("1.27", "1.34", "1.35", "1.36", "1.37")  # the oldest that Chart.yaml takes, and the newest
CUSTOM: Final = {
    "ServiceMonitor": "monitoring.coreos.com_servicemonitors.yaml",
    "PrometheusRule": "monitoring.coreos.com_prometheusrules.yaml",
    "HTTPRoute": "gateway.networking.k8s.io_httproutes.yaml",
}
# Rules of kube-score that the chart goes another way than, with the reason.
EXCEPTIONS: Final = {
    "container-image-pull-policy": "images are named by a version or a digest; Always makes a registry's outage ours",
    "container-resources": "CPU limits stop a node that could use what is free; the others are asserted of every pod",
    "deployment-has-host-podantiaffinity": "nodes are spread by topologySpreadConstraints",
    "pod-networkpolicy": "checked below: egress is limited where values say what the backends are",
}


@pytest.fixture(scope="module")
def schemas() -> Iterator[Any]:
    """kubernetes-validate, which reads a file of some megabytes for each object unless it is kept."""
    try:
        from kubernetes_validate import utils
    except ImportError:
        assert not os.environ.get("PENSTOCK_REQUIRE_HELM"), "kubernetes-validate is missing"
        pytest.skip("kubernetes-validate is not installed (pip install --group charts)")
    read = utils.schema_contents
    utils.schema_contents = lru_cache(maxsize=None)(read)
    yield utils
    utils.schema_contents = read


@every
@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_holds_by_the_strict_schemas_of_each_version(values: Path, version: str, schemas: Any) -> None:
    wrong = []
    for each in rendered(values):
        if each["kind"] not in CUSTOM:
            try:
                schemas.validate(each, version, strict=True)
            except schemas.ValidationError as error:
                wrong.append(f"{title(each)}: {'/'.join(map(str, error.path))}: {error.message}")
    assert not wrong


def test_a_wrong_object_would_be_found(schemas: Any) -> None:
    (deployment,) = of_kind(rendered(named("default")), "Deployment")
    deployment["spec"]["replica"] = 2
    with pytest.raises(schemas.ValidationError, match="replica"):
        schemas.validate(deployment, VERSIONS[0], strict=True)


# objects of others


@lru_cache(maxsize=8)
def definition(kind: str) -> Object:
    """The CustomResourceDefinition's schema, closed where the API server would drop what it does not know."""
    folder = os.environ.get("PENSTOCK_CRDS")
    if folder is None:
        assert not os.environ.get("PENSTOCK_REQUIRE_HELM"), "PENSTOCK_CRDS is missing"
        pytest.skip("PENSTOCK_CRDS names no folder of CustomResourceDefinitions; .ci/run shows how they are made")
    read = yaml.safe_load((Path(folder) / CUSTOM[kind]).read_text())
    (version,) = [each for each in read["spec"]["versions"] if each["storage"]]
    schema: Object = _closed(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    return schema


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _closed(part) for key, part in schema.items()}
    if schema.get("x-kubernetes-int-or-string"):
        found.pop("type", None)
    if isinstance(schema.get("properties"), dict) and "type" in schema and "additionalProperties" not in schema:
        found["additionalProperties"] = False
    return found


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("cluster", "ServiceMonitor"),
        ("ingress", "ServiceMonitor"),
        ("everything", "ServiceMonitor"),
        ("runtimes", "ServiceMonitor"),
        ("ingress", "PrometheusRule"),
        ("everything", "PrometheusRule"),
        ("gateway-api", "HTTPRoute"),
        ("everything", "HTTPRoute"),
    ],
)
def test_objects_of_the_operator_and_the_gateway_api_hold_by_their_definitions(name: str, kind: str) -> None:
    found = of_kind(rendered(named(name)), kind)
    assert found
    for each in found:
        wrong = jsonschema_rs.validator_for(definition(kind)).iter_errors(each)
        assert not [f"{'/'.join(map(str, error.instance_path))}: {error.message}" for error in wrong]


def test_a_wrong_monitor_would_be_found() -> None:
    (found,) = of_kind(rendered(named("cluster")), "ServiceMonitor")
    found["spec"]["endpoints"][0]["intervall"] = "1s"
    assert not jsonschema_rs.validator_for(definition("ServiceMonitor")).is_valid(found)


def test_a_monitor_that_shows_a_token_holds_too() -> None:
    (found,) = of_kind(rendered(named("everything"), "metrics.port=null"), "ServiceMonitor")
    assert jsonschema_rs.validator_for(definition("ServiceMonitor")).is_valid(found)


# kube-score


@every
def test_kube_score_finds_nothing_but_what_has_a_reason(values: Path) -> None:
    command = [tool("kube-score"), "score", "-", "--kubernetes-version", f"v{KUBERNETES}", "--output-format", "json"]
    done = subprocess.run(command, input=_in_namespace(values), capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    found = [
        f"{each['object_name']}: {check['check']['name']}: {comment['path']} {comment['summary']}"
        for each in json.loads(done.stdout)
        for check in each["checks"]
        if not check["skipped"] and check["grade"] < 10 and check["check"]["id"] not in EXCEPTIONS
        for comment in check["comments"] or ()
    ]
    assert not found


def _in_namespace(values: Path) -> str:
    """What the values bring along is not the chart's."""
    kept = [each for each in rendered(values) if each["metadata"].get("namespace") == NAMESPACE]
    return yaml.safe_dump_all(kept)


@every
def test_every_pod_has_a_network_policy_of_its_own_unless_they_are_off(values: Path) -> None:
    objects = rendered(values)
    policies = [each["spec"]["podSelector"]["matchLabels"] for each in of_kind(objects, "NetworkPolicy")]
    for name, pod in pods(objects):
        chosen = [each for each in policies if each.items() <= pod["metadata"]["labels"].items()]
        assert len(chosen) == (0 if values.stem == "embedded" else 1), name
