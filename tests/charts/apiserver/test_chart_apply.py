"""The chart installed by helm at a real API server, its pods started by Kubernetes' own controllers and run here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial

import pytest

from tests.charts.apiserver.conftest import NAMESPACE, Cluster
from tests.charts.run.clients import Load
from tests.charts.run.conftest import VALUES
from tests.charts.run.environment import data
from tests.charts.run.rendered import CHART
from tests.charts.run.sample import Consumer, Upstream
from tests.charts.run.test_runtime_run import FILL, FIND

pytestmark = pytest.mark.soak  # minutes: `make chart-apply` runs it

_AT = f"/api/v1/namespaces/{NAMESPACE}"
_APPS = f"/apis/apps/v1/namespaces/{NAMESPACE}"
_FULL = "shop-penstock"
_WAIT = ("--wait", "--timeout", "180s")


@pytest.fixture(scope="module")
def consumer(cluster: Cluster) -> Iterator[Consumer]:
    """Of the release, which is installed for it."""
    upstream = Upstream(cluster.node.places, NAMESPACE)
    cluster.helm("install", "shop", str(CHART), "--values", str(VALUES), *_WAIT)
    names = {"name": "penstock", "instance": "shop", "component": "publish"}
    labels = {f"app.kubernetes.io/{name}": value for name, value in names.items()}
    client = cluster.node.places.bare("client", "elsewhere", {})
    inside = cluster.node.places.bare("publisher", NAMESPACE, labels)
    token = _credentials(cluster)["admin-token"].decode()

    def reached(name: str) -> tuple[str, int]:
        found = cluster.node.proxy.services[NAMESPACE, name]
        return found.address, found.ports[0][1]

    cluster.node.proxy.now()
    yield Consumer(client, inside, lambda: reached(_FULL), lambda: reached(f"{_FULL}-admin"), token)
    upstream.close()


def _credentials(cluster: Cluster) -> dict[str, bytes]:
    return data({"kind": "Secret", **cluster.plane.api.get(f"{_AT}/secrets/{_FULL}-credentials")})


def _pods(cluster: Cluster) -> set[str]:
    found = cluster.plane.api.items(f"{_AT}/pods?labelSelector=app.kubernetes.io/component=gateway")
    return {each["metadata"]["name"] for each in found if "deletionTimestamp" not in each["metadata"]}


def _ready(cluster: Cluster) -> set[str]:
    found = cluster.plane.api.items(f"{_AT}/pods?labelSelector=app.kubernetes.io/component=gateway")
    ready = {"type": "Ready", "status": "True"}.items()
    held = [each for each in found if any(ready <= one.items() for one in each["status"]["conditions"])]
    return {each["metadata"]["name"] for each in held if "deletionTimestamp" not in each["metadata"]}


def _settled(cluster: Cluster, replicas: int = 2) -> bool:
    found = cluster.plane.api.get(f"{_APPS}/deployments/{_FULL}")
    status = found["status"]
    counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")]
    return counts == [replicas] * 3 and status["observedGeneration"] == found["metadata"]["generation"]


def test_helm_waits_for_the_pods_and_its_hook_publishes(cluster: Cluster, consumer: Consumer) -> None:
    assert consumer.rest().json() == {"id": 7, "name": "item 7"}
    assert b"item 7" in consumer.soap().body
    assert consumer.odata().status == 200
    assert _settled(cluster)


def test_the_disruption_budget_counts_the_gateways(cluster: Cluster, consumer: Consumer) -> None:
    budget = f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets/{_FULL}"
    cluster.plane.until(lambda: cluster.plane.api.get(budget)["status"]["disruptionsAllowed"] == 1, "one may go")


def test_helm_test_passes(cluster: Cluster, consumer: Consumer) -> None:
    assert "Phase:          Succeeded" in cluster.helm("test", "shop", "--timeout", "120s")


def test_an_upgrade_rolls_out_under_load_keeps_the_secrets_and_loses_no_request(
    cluster: Cluster, consumer: Consumer
) -> None:
    secrets, pods = _credentials(cluster), _pods(cluster)
    with consumer.load() as load:
        cluster.helm("upgrade", "shop", str(CHART), "--values", str(VALUES), "--set", "gateway.drainDelay=4", *_WAIT)
        cluster.plane.until(lambda: _settled(cluster), "the rollout is over")
        load.answered(200)
    assert not load.tally.failed, (load.tally.failed[:3], cluster.state())
    assert _credentials(cluster) == secrets
    assert pods.isdisjoint(_pods(cluster))


def test_a_rollback_brings_the_pods_of_before_under_load(cluster: Cluster, consumer: Consumer) -> None:
    revision = len(cluster.helm("history", "shop").splitlines()) - 1
    cluster.helm(
        "upgrade", "shop", str(CHART), "--values", str(VALUES), "--set", "gateway.settings.log_level=warning", *_WAIT
    )
    with consumer.load(count=4) as load:
        cluster.helm("rollback", "shop", str(revision), *_WAIT)
        cluster.plane.until(lambda: _settled(cluster), "the rollback is over")
    assert not load.tally.failed, (load.tally.failed[:3], cluster.state())
    config = cluster.plane.api.get(f"{_AT}/configmaps/{_FULL}-config")["data"]["penstock.yaml"]
    assert "log_level" not in config


def test_a_deleted_pod_is_replaced_without_a_loss(cluster: Cluster, consumer: Consumer) -> None:
    name = min(_pods(cluster))
    with consumer.load(count=4) as load:
        cluster.plane.api.ask("DELETE", f"{_AT}/pods/{name}")
        cluster.plane.until(lambda: name not in _ready(cluster) and len(_ready(cluster)) == 2, "another has its place")
    assert not load.tally.failed, (load.tally.failed[:3], cluster.state())


def test_a_scale_to_three_and_back_loses_no_request(cluster: Cluster, consumer: Consumer) -> None:
    with consumer.load(count=4) as load:
        for replicas in (3, 2):
            scale = {"spec": {"replicas": replicas}}
            cluster.plane.api.patch(f"{_APPS}/deployments/{_FULL}/scale", scale, "application/merge-patch+json")
            cluster.plane.until(partial(_settled, cluster, replicas), f"{replicas} nodes")
    assert not load.tally.failed, (load.tally.failed[:3], cluster.state())


def test_new_code_of_a_runtime_rolls_out_under_load_by_the_clusters_own_controller(
    cluster: Cluster, consumer: Consumer
) -> None:
    """minReadySeconds is counted by the Deployment's controller; then the hook publishes."""
    path = f"{_AT}/configmaps/{_FULL}-runtime-yard-python"
    code = cluster.plane.api.get(path)["data"]["yard.py"].replace('f"bin {id}"', 'f"bin no. {id}"')
    setting = json.dumps(code)
    expected = {FIND: [200], FILL: [200]}
    with Load(consumer.place, consumer.gateway(), expected, 4) as load:
        values = ("--values", str(VALUES), "--set-json", rf"runtimes.yard.processes.files.yard\.py={setting}")
        cluster.helm("upgrade", "shop", str(CHART), *values, *_WAIT)
        load.answered(200)
    assert not load.tally.failed, (load.tally.failed[:3], cluster.state())
    assert consumer.rest("/bins/v1/7").json() == "bin no. 7"


def test_the_token_of_the_runtime_is_made_once(cluster: Cluster, consumer: Consumer) -> None:
    token = _credentials(cluster)["runtime-token"]
    cluster.helm("upgrade", "shop", str(CHART), "--values", str(VALUES), *_WAIT)
    assert _credentials(cluster)["runtime-token"] == token


def test_an_uninstalled_release_comes_back_with_its_keys(cluster: Cluster, consumer: Consumer) -> None:
    """Secret and claim stay: a key that was made before opens the release that is installed after."""
    secrets = _credentials(cluster)
    cluster.helm("uninstall", "shop", *_WAIT)
    cluster.plane.until(lambda: not cluster.plane.api.items(f"{_AT}/pods"), "the pods are gone")
    cluster.helm("install", "shop", str(CHART), "--values", str(VALUES), "--take-ownership", *_WAIT)
    cluster.node.proxy.now()
    assert _credentials(cluster) == secrets
    assert consumer.rest().status == 200
