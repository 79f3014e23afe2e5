"""The chart's runtime, run beside the gateways: what is hosted there alone is called through each of them, goes on
while its pods are replaced or die, and nobody else reaches it."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections import Counter

from tests.charts.run.clients import Answer, Load, ask, reaches
from tests.charts.run.conftest import Shop
from tests.charts.run.pods import Pod
from tests.charts.run.probes import wait
from tests.charts.run.release import NAMESPACE

_PATIENCE = 60.0
FIND = b"GET /bins/v1/7 HTTP/1.1\r\nHost: shop\r\n\r\n"
FILL = b"POST /bins/v1/7 HTTP/1.1\r\nHost: shop\r\nContent-Length: 0\r\n\r\n"


def call(shop: Shop, path: str, method: str = "GET", pod: Pod | None = None) -> Answer:
    """By the Service, or at one gateway."""
    address = (pod.place.address, 8080) if pod is not None else shop.consumer.gateway()
    return ask(shop.consumer.place, address, f"/bins/v1{path}", method=method, body=b"" if method == "POST" else None)


def load(shop: Shop, count: int = 8) -> Load:
    """Clients that read, and ones that write."""
    return Load(shop.consumer.place, shop.consumer.gateway(), {FIND: [200], FILL: [200]}, count)


def rolled_out(shop: Shop) -> None:
    shop.release.settle()
    shop.release.proxy.now()


def test_each_gateway_calls_each_pod_of_the_runtime_and_hosts_nothing_of_it(shop: Shop) -> None:
    hosts = {each.name for each in shop.release.runtime("yard").pods}
    for pod in shop.release.gateways().pods:
        assert call(shop, "/7", pod=pod).json() == "bin 7"
        code, said = pod.execute("python", "-c", "import yard")
        assert code == 1, "its code is in the runtime's pods alone"
        assert "ModuleNotFoundError" in said
        both = [threading.Thread(target=call, args=(shop, "/1/sweep/0.5", "POST", pod)) for _ in range(2)]
        for each in both:
            each.start()
        for each in both:
            each.join(_PATIENCE)
    prometheus = shop.release.places.bare("prometheus", NAMESPACE, {"app": "prometheus"})
    try:
        shop.release.proxy.now()
        for pod in shop.release.runtime("yard").pods:
            told = ask(prometheus, (pod.place.address, 9464), "/metrics").body.decode()
            assert re.search(r'penstock_process_calls_total\{name="sweep_bin",outcome="answered"\} [1-9]', told), (
                pod.name
            )
    finally:
        shop.release.places.leave(prometheus)
    assert len(hosts) == 2


def test_a_pod_of_the_runtime_has_what_it_needs_and_no_more(shop: Shop) -> None:
    token = shop.release.secret(f"{shop.release.full}-credentials", "runtime-token")
    pod = shop.release.runtime("yard").pods[0]
    code, said = pod.execute("sh", "-c", "id -u; grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/1/status")
    assert (code, said.split()) == (0, ["10001", "CapEff:", "0" * 16, "NoNewPrivs:", "1", "Seccomp:", "2"])
    for path in ("/x", "/etc/penstock/python/x"):
        assert "Read-only file system" in pod.execute("sh", "-c", f"echo > {path}")[1]
    assert pod.execute("sh", "-c", "echo > /tmp/x && rm /tmp/x") == (0, "")
    _, said = pod.execute("sh", "-c", "for each in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $each; echo; done")
    assert "penstock" in said
    assert token not in said + pod.text()
    assert not re.search("PENSTOCK_(KEY_SECRET|ADMIN_TOKEN|STORE)", pod.execute("env")[1]), "nothing of the gateway's"


def test_nobody_but_the_gateways_of_the_release_reaches_the_runtime(shop: Shop) -> None:
    release, places = shop.release, shop.release.places
    runtime = release.runtime("yard").pods[0].place
    stranger = places.bare("stranger", NAMESPACE, {"app": "stranger"})
    namesake = places.bare("namesake", "elsewhere", release.labels("gateway"))
    twin = places.bare("twin", NAMESPACE, release.labels("gateway"), http=8080, admin=8081)
    scraper = places.bare("scraper", NAMESPACE, {"app": "prometheus"})
    publisher = next(each for each in places if each.name == "publisher")
    try:
        release.proxy.now()
        assert reaches(twin, (runtime.address, 8090))
        for place in (stranger, namesake, publisher, scraper, release.store().pods[0].place):
            assert not reaches(place, (runtime.address, 8090)), place.name
        assert reaches(scraper, (runtime.address, 9464))
        for place in (stranger, twin):
            assert not reaches(place, (runtime.address, 9464)), place.name
        assert not reaches(runtime, (release.store().pods[0].place.address, 6379)), "the store is the gateways'"
    finally:
        for each in (stranger, namesake, twin, scraper):
            places.leave(each)


def test_a_call_outlives_the_pod_that_it_runs_in(shop: Shop) -> None:
    """SIGTERM comes while it runs, which takes longer than the drain delay: it is answered, and the pod ends by itself
    after it."""
    runtime = shop.release.runtime("yard")
    answers: list[Answer] = []
    thread = threading.Thread(target=lambda: answers.append(call(shop, "/1/sweep/7", "POST")))
    thread.start()
    pods = {each.name: each for each in runtime.pods}
    running = wait_for_call(shop, pods)
    running.delete()
    assert call(shop, "/7").status == 200
    thread.join(_PATIENCE)
    assert [(each.status, each.json()) for each in answers] == [(200, running.name)]
    assert running.gone.wait(_PATIENCE)
    assert (running.codes, running.killed) == ([("runtime", 0)], False)
    rolled_out(shop)


def wait_for_call(shop: Shop, pods: dict[str, Pod]) -> Pod:
    """The pod in which a call runs."""
    found: list[Pod] = []

    def seen() -> bool:
        for pod in pods.values():
            told = pod.execute("python", "-c", _METRICS)[1]
            if re.search(r"^penstock_process_running [1-9]", told, re.MULTILINE):
                found.append(pod)
        return bool(found)

    wait(seen, _PATIENCE, shop.release.state)
    return found[0]


_METRICS = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9464/metrics').read().decode())"


def test_a_killed_pod_of_the_runtime_costs_the_writing_calls_that_ran_in_it_and_nothing_else(shop: Shop) -> None:
    pod = shop.release.runtime("yard").pods[0]
    with load(shop) as clients:
        clients.expected[FILL] = [200, 502]
        os.kill(pod.running[0].container.pid(), signal.SIGKILL)
        wait(lambda: pod.restarts == 1 and pod.ready, _PATIENCE, shop.release.state)
        clients.answered(200)
    assert not clients.tally.failed, clients.tally.failed[:3]
    shop.release.settle()


def test_new_code_rolls_out_under_load_loses_no_call_and_is_published_after(shop: Shop) -> None:
    release, runtime = shop.release, shop.release.runtime("yard")
    release.upgrade()  # what another test had changed of the gateways
    release.settle()
    before, gateways = list(runtime.pods), {each.name for each in release.gateways().pods}
    runtime.least, runtime.most = 10**6, 0
    code = release.objects.get("ConfigMap", f"{release.full}-runtime-yard-python")["data"]["yard.py"]
    with load(shop) as clients:
        changed = code.replace('f"bin {id}"', 'f"bin no. {id}"')
        # Forced: what another test had published may be gone by that.
        release.upgrade({r"runtimes.yard.processes.files.yard\.py": changed, "publish.force": True})
        release.settle()
        clients.answered(200)
    assert not clients.tally.failed, (Counter(each[:60] for each in clients.tally.failed), release.state())
    assert (runtime.least, runtime.most) == (2, 3), "maxUnavailable 0, maxSurge 1"
    for pod in before:
        assert pod.gone.wait(_PATIENCE)
        assert (pod.codes[-1], pod.killed) == (("runtime", 0), False), "by itself, after SIGTERM"
    assert {each.name for each in release.gateways().pods} == gateways, "no gateway was replaced"
    (job,) = release.hook("post-upgrade")
    assert "bins@v1" in job.tried[-1]
    assert call(shop, "/7").json() == "bin no. 7"
