"""The chart's pods, run on this machine as a cluster would run them: probes, Services, rollouts, deaths, policies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.charts.run.clients import ask, reaches
from tests.charts.run.conftest import VALUES, Shop
from tests.charts.run.machine import sweep
from tests.charts.run.pods import Pod
from tests.charts.run.probes import wait
from tests.charts.run.release import NAMESPACE
from tests.charts.run.rendered import ROOT

_PATIENCE = 60.0


def _gateway(shop: Shop) -> Pod:
    return next(each for each in shop.release.gateways().pods if each.ready)


def test_all_pods_become_ready_by_their_probes_and_none_restarts(shop: Shop) -> None:
    pods = [*shop.release.gateways().pods, *shop.release.store().pods]
    assert len(pods) == 3
    for pod in pods:
        asked = {name for each in pod.running for _, name, passed, _ in each.probes.log if passed}
        assert pod.restarts == 0, shop.release.state()
        assert {"startup", "readiness"} <= asked


def test_a_call_with_a_key_is_answered_as_rest_soap_and_odata(shop: Shop) -> None:
    assert shop.consumer.rest().json() == {"id": 7, "name": "item 7"}
    assert b"item 7" in shop.consumer.soap().body
    assert shop.consumer.odata().json()["name"] == "item 7"
    assert ask(shop.consumer.place, shop.consumer.gateway(), "/stock/v1/items/7").status == 401


def test_a_document_includes_another_through_the_links_of_a_mounted_configmap(shop: Shop) -> None:
    assert shop.consumer.rest("/stock/v1/count").json() == {"items": 1000}


def test_an_upstream_is_found_by_the_name_of_its_service(shop: Shop) -> None:
    answer = shop.consumer.rest("/stock/v1/erp/bins/3")
    assert (answer.status, answer.body) == (200, b"erp /bins/3"), shop.release.state()


def test_a_key_made_at_one_node_opens_the_other(shop: Shop) -> None:
    made = shop.consumer.admin("/keys", b'{"application": "partner", "api": "stock", "plan": "gold"}')
    fields = {"X-API-KEY": made.json()["key"]}
    for pod in shop.release.gateways().pods:
        answer = ask(shop.consumer.place, (pod.place.address, 8080), "/stock/v1/items/7", fields)
        assert answer.status == 200, (pod.name, answer)


def test_each_node_has_its_pods_name(shop: Shop) -> None:
    told = shop.consumer.admin("/nodes").json()["items"]
    live = {each["name"] for each in told if not each["error"]}
    assert {each.name for each in shop.release.gateways().pods} <= live


def test_a_container_runs_as_nobody_and_writes_to_its_volumes_alone(shop: Shop) -> None:
    pod = _gateway(shop)
    code, said = pod.execute("sh", "-c", "id -u; id -g; grep -E 'CapBnd|CapEff|NoNewPrivs|Seccomp:' /proc/1/status")
    assert code == 0, said
    assert said.split() == [
        "10001", "10001", "CapEff:", "0" * 16, "CapBnd:", "0" * 16, "NoNewPrivs:", "1", "Seccomp:", "2",
    ]  # fmt: skip
    for path in ("/x", "/usr/x", "/etc/penstock/config/x", "/etc/penstock/documents/x"):
        code, said = pod.execute("sh", "-c", f"echo > {path}")
        assert code != 0, path
        assert "Read-only file system" in said
    for path in ("/tmp/x", "/var/lib/penstock/x"):
        assert pod.execute("sh", "-c", f"echo > {path} && rm {path}") == (0, "")


def test_no_process_of_a_pod_shows_a_secret_in_its_arguments(shop: Shop) -> None:
    release = shop.release
    names = ("key-secret", "admin-token", "store-password")
    secrets = [release.secret(f"{release.full}-credentials", name) for name in names]
    for pod in (_gateway(shop), release.store().pods[0]):
        _, said = pod.execute("sh", "-c", "for each in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $each; echo; done")
        assert "penstock" in said or "valkey" in said
        assert not [each for each in secrets if each in said]
        assert not [each for each in secrets if each in pod.text()]


def test_the_hook_job_publishes_what_an_upgrade_changes_and_no_pod_is_replaced(shop: Shop) -> None:
    release = shop.release
    before = {each.name for each in release.gateways().pods}
    document = release.objects.get("ConfigMap", f"{release.full}-documents")["data"]["stock.yaml"]
    changed = document.replace("GET /count: count_items", "GET /count: count_items\n  GET /number: count_items")
    release.upgrade({r"documents.files.stock\.yaml": changed})
    (job,) = release.hook("post-upgrade")
    assert "stock@v1" in job.tried[-1]
    release.settle()
    assert {each.name for each in release.gateways().pods} == before
    for pod in release.gateways().pods:
        fields = {"X-API-KEY": shop.consumer.key}
        assert ask(shop.consumer.place, (pod.place.address, 8080), "/stock/v1/number", fields).status == 200


def test_a_hook_job_that_is_refused_fails_and_says_why_and_the_old_state_serves(shop: Shop) -> None:
    release = shop.release
    release.upgrade({"documents.files.wrong\\.yaml": "kind: Plan\nname: wrong\npolicys: []\n", "publish.retries": 0})
    with pytest.raises(AssertionError, match="policys"):
        release.hook("post-upgrade")
    release.upgrade()
    assert shop.consumer.rest().status == 200


def test_an_upgrade_with_another_configuration_rolls_out_under_load_and_loses_no_request(shop: Shop) -> None:
    release, gateways = shop.release, shop.release.gateways()
    gateways.least, gateways.most = 10**6, 0
    before = list(gateways.pods)
    with shop.consumer.load() as load:
        release.upgrade({"gateway.settings.log_level": "warning"})
        release.settle()
        load.answered(200)
    assert not load.tally.failed, (load.tally.failed[:3], release.state())
    assert (gateways.least, gateways.most) == (2, 3), "maxUnavailable 0, maxSurge 1"
    for pod in before:
        assert pod.gone.wait(_PATIENCE)
        assert (pod.codes, pod.killed) == ([("gateway", 0)], False), "ends by itself after SIGTERM to PID 1"
    assert "log_level: warning" in _gateway(shop).execute("cat", "/etc/penstock/config/penstock.yaml")[1]


def test_three_nodes_serve_after_scaling_and_two_again_without_a_loss(shop: Shop) -> None:
    gateways = shop.release.gateways()
    with shop.consumer.load(count=4) as load:
        gateways.replicas = 3
        shop.release.settle()
        assert len({each.place.address for each in gateways.pods if each.ready}) == 3
        gateways.replicas = 2
        shop.release.settle()
        load.answered(100)
    assert not load.tally.failed, load.tally.failed[:3]


def test_a_killed_gateway_starts_again_and_the_service_goes_on_without_it(shop: Shop) -> None:
    pod = _gateway(shop)
    os.kill(pod.running[0].container.pid(), signal.SIGKILL)
    wait(lambda: pod.restarts == 1 and not pod.ready, _PATIENCE, shop.release.state)
    time.sleep(1.5 * shop.release.proxy.delay)  # until then the rules lead to it, as in a cluster
    assert [shop.consumer.rest().status for _ in range(20)] == [200] * 20
    shop.release.settle()
    assert pod.codes[-1] == ("gateway", 137)


def test_a_deleted_gateway_is_replaced(shop: Shop) -> None:
    pod = _gateway(shop)
    with shop.consumer.load(count=4) as load:
        pod.delete()
        wait(pod.gone.is_set, _PATIENCE, shop.release.state)
        shop.release.settle()
    assert not load.tally.failed, load.tally.failed[:3]
    assert pod.name not in {each.name for each in shop.release.gateways().pods}


def test_the_store_starts_again_and_nothing_is_lost(shop: Shop) -> None:
    """By kill -9, and by an end that is ordered; calls go on meanwhile, limits or not."""
    made = shop.consumer.admin("/applications", b'{"name": "kept"}')
    assert made.status in (201, 409)
    (store,) = shop.release.store().pods
    os.kill(store.running[0].container.pid(), signal.SIGKILL)
    wait(lambda: store.restarts == 1 and store.ready, _PATIENCE, shop.release.state)
    _back(shop)
    store.delete()
    assert store.gone.wait(_PATIENCE)
    assert store.codes[-1] == ("valkey", 0)
    assert not store.killed
    shop.release.settle()
    _back(shop)


def _back(shop: Shop) -> None:
    """The gateways have the store again, at its new address, with what was in it."""

    def told() -> bool:
        shop.release.proxy.now()
        return shop.consumer.admin("/applications/kept").status == 200 and shop.consumer.rest().status == 200

    wait(told, _PATIENCE, shop.release.state)


def test_network_policies_let_in_who_is_named_and_nobody_else(shop: Shop) -> None:
    release, places = shop.release, shop.release.places
    assert release.policies.rules(places), "the chart has policies"
    gateway, store = _gateway(shop).place.address, release.store().pods[0].place.address
    stranger = places.bare("stranger", NAMESPACE, {"app": "stranger"})
    namesake = places.bare("namesake", "elsewhere", release.labels("gateway"))
    twin = places.bare("twin", NAMESPACE, release.labels("gateway"), http=8080, admin=8081)
    try:
        release.proxy.now()
        assert reaches(stranger, (gateway, 8080)), "the gateway is for everybody"
        assert not reaches(stranger, (gateway, 8081)), "the admin REST is not"
        assert not reaches(stranger, (store, 6379)), "nor is the store"
        assert not reaches(namesake, (store, 6379)), "labels count in their namespace alone"
        assert reaches(twin, (store, 6379))
        publisher = next(each for each in places if each.name == "publisher")
        assert reaches(publisher, (gateway, 8081))
        assert not reaches(publisher, (store, 6379))
        assert not reaches(release.store().pods[0].place, (gateway, 8080)), "the store connects to nobody"
    finally:
        for each in (stranger, namesake, twin):
            places.leave(each)


def test_the_admin_rest_is_not_on_the_gateways_service(shop: Shop) -> None:
    ports = [port for _, port, _ in shop.release.proxy.services[NAMESPACE, shop.release.full].ports]
    assert ports == [80]
    answer = ask(shop.consumer.place, shop.consumer.gateway(), "/admin/v1/health")
    assert answer.status == 404


def _started() -> tuple[subprocess.Popen[bytes], Path]:
    """Another run, whose pods are starting, with its folder."""
    text = "\n".join(
        [
            "import signal",
            "from tests.charts.run.release import Release",
            "from pathlib import Path",
            "signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job inherits no SIGINT",
            f"with Release([Path({str(VALUES)!r})]) as release:",
            "    release.install()",
            "    print(release.folder, flush=True)",
            "    release.settle()",
            "    release.loop._thread.join()",
        ]
    )
    child = subprocess.Popen([sys.executable, "-c", text], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    with child.stdout or pytest.fail("no output") as out:
        folder = Path(out.readline().decode().strip())
    wait(lambda: len(list((folder / "pods").glob("*/log"))) >= 3, _PATIENCE, "pods start")
    return child, folder


def _left(child: subprocess.Popen[bytes], folder: Path) -> list[str]:
    """What is still there of a run."""
    name = f"pst{child.pid}"
    spaces = json.loads(
        subprocess.run(["ip", "-j", "netns"], capture_output=True, text=True, check=True).stdout or "[]"
    )
    found = [each["name"] for each in spaces if each["name"].startswith(f"{name}-")]
    found += [str(path) for path in (folder, Path(f"/run/penstock-{name}")) if path.exists()]
    found += map(str, Path("/sys/fs/cgroup").glob(f"**/penstock-{name}"))
    return found + [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(folder) in line]


def test_an_interrupted_run_leaves_nothing_behind(shop: Shop) -> None:
    """By Ctrl-C while its pods start."""
    child, folder = _started()
    child.send_signal(signal.SIGINT)
    child.wait(_PATIENCE)
    assert not _left(child, folder)


def test_what_a_killed_run_left_is_taken_away_by_the_next(shop: Shop) -> None:
    child, folder = _started()
    child.kill()
    child.wait(_PATIENCE)
    assert _left(child, folder)
    sweep()
    assert not _left(child, folder)
