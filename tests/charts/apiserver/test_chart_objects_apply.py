"""Every object of every value file at a real API server: strictly, so that a field that is not known is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.charts.apiserver.conftest import Cluster
from tests.charts.apiserver.control_plane import Api, Refused
from tests.charts.apiserver.crds import definitions
from tests.charts.run.rendered import CHART, Object, find_helm, render

pytestmark = pytest.mark.soak  # minutes: `make chart-apply` runs it

VALUES = sorted((CHART.parents[1] / "tests/charts/values").glob("*.yaml"))


@pytest.fixture(scope="module")
def paths(cluster: Cluster) -> dict[tuple[str, str], str]:
    """Where objects of an apiVersion and kind are posted, with the definitions of the optional ones in place."""
    api = cluster.plane.api
    for each in definitions():
        api.ask("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {**each, "status": None})
    wanted = {("monitoring.coreos.com/v1", "ServiceMonitor"), ("gateway.networking.k8s.io/v1", "HTTPRoute")}
    cluster.plane.until(lambda: wanted <= dict(_kinds(api)).keys(), "the definitions are served")
    return dict(_kinds(api))


def _kinds(api: Api) -> Iterator[tuple[tuple[str, str], str]]:
    groups = [f"/apis/{each['preferredVersion']['groupVersion']}" for each in api.get("/apis")["groups"]]
    for at in ("/api/v1", *groups):
        found = api.get(at)
        for each in found["resources"]:
            if "/" not in each["name"]:
                place = "/namespaces/{namespace}" if each["namespaced"] else ""
                yield (found["groupVersion"], each["kind"]), f"{at}{place}/{each['name']}"


def _post(api: Api, paths: dict[tuple[str, str], str], found: Object, namespace: str, query: str) -> Any:
    path = paths[found["apiVersion"], found["kind"]].format(namespace=namespace)
    found["metadata"]["namespace"] = namespace
    return api.ask("POST", f"{path}?{query}", found)


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_every_object_is_taken_without_a_warning(
    cluster: Cluster, paths: dict[tuple[str, str], str], values: Path
) -> None:
    """A ServiceAccount is really made: a Pod is refused that names none."""
    api, namespace, wrong = cluster.plane.api, f"strict-{values.stem}", []
    api.ask("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
    objects = sorted(render([values], namespace=namespace), key=lambda each: each["kind"] != "ServiceAccount")
    for each in objects:
        dry = "" if each["kind"] == "ServiceAccount" else "dryRun=All&"
        try:
            _post(api, paths, each, namespace, f"{dry}fieldValidation=Strict")
        except Refused as error:
            wrong.append(f"{each['kind']} {each['metadata']['name']}: {error}")
    assert len(objects) > 5
    assert not wrong, "\n".join(wrong)


def test_a_field_that_is_not_known_is_refused_by_this_check(
    cluster: Cluster, paths: dict[tuple[str, str], str]
) -> None:
    found = next(each for each in render([VALUES[0]], namespace="default") if each["kind"] == "Service")
    found["spec"]["prots"] = []
    with pytest.raises(Refused, match="prots"):
        _post(cluster.plane.api, paths, found, "default", "dryRun=All&fieldValidation=Strict")


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
@pytest.mark.usefixtures("paths")
def test_helm_installs_upgrades_and_removes_it(cluster: Cluster, values: Path) -> None:
    """In a namespace of its own, whose pods nobody runs; hooks would wait for them."""
    namespace = f"of-{values.stem}"
    options = ("--namespace", namespace, "--no-hooks")
    helm = ["install", "shop", str(CHART), "--create-namespace", "--values", str(values), *options]
    _helm(cluster, *helm, "--dry-run=server")
    _helm(cluster, *helm)
    before = _secrets(cluster, namespace)
    _helm(cluster, "upgrade", "shop", str(CHART), "--values", str(values), *options)
    assert _secrets(cluster, namespace) == before, "what was made once stays"
    _helm(cluster, "uninstall", "shop", *options)
    left = cluster.plane.api.items(f"/apis/apps/v1/namespaces/{namespace}/deployments")
    assert not [each for each in left if "deletionTimestamp" not in each["metadata"]]


def _helm(cluster: Cluster, *arguments: str) -> None:
    done = cluster.plane.run(str(find_helm()), *arguments)
    assert done.returncode == 0, f"{arguments}: {done.stderr}"


def _secrets(cluster: Cluster, namespace: str) -> dict[str, Any]:
    found = cluster.plane.api.items(f"/api/v1/namespaces/{namespace}/secrets")
    return {each["metadata"]["name"]: each.get("data") for each in found if each["type"] == "Opaque"}
