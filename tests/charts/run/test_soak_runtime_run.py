"""What rollouts, kills and an outage of the chart's runtime cost under a load that goes on, and TLS on the way to it:
`make chart-run`."""

from __future__ import annotations

import os
import signal
import time
from typing import Any, Final

import pytest
import trustme

from tests import soak
from tests.charts.run.clients import Load
from tests.charts.run.conftest import Shop
from tests.charts.run.probes import wait
from tests.charts.run.test_runtime_run import FILL, FIND, call, load

pytestmark = pytest.mark.soak

_PATIENCE: Final = 120.0


def _noted(record: soak.Record, clients: Load) -> None:
    """Replies by kind of call, and those that were no 200."""
    for what, line in (("safe", "GET /bins/v1/7"), ("writing", "POST /bins/v1/7")):
        statuses = {status: count for (of, status), count in clients.tally.statuses.items() if of == line}
        others = {status: count for status, count in statuses.items() if status != 200}
        record(f"{what} calls, and what was no 200", f"{sum(statuses.values())}, {others or 0}")


def test_five_rolling_restarts_of_the_runtime_under_load_lose_no_call(shop: Shop, record: soak.Record) -> None:
    """Safe ones and writing ones: a pod that goes has answered what it was given."""
    runtime, took = shop.release.runtime("yard"), []
    with load(shop, count=16) as clients:
        for _ in range(5):
            runtime.restart()
            took.append(shop.release.settle(_PATIENCE))
        clients.answered(500)
    _noted(record, clients)
    record("ms, 99th percentile and longest", _ms(clients))
    record("seconds of a rollout", f"{min(took):.0f} to {max(took):.0f}")
    assert not clients.tally.failed, (clients.tally.failed[:3], shop.release.state())


def _ms(clients: Load) -> str:
    return f"{1000 * clients.tally.percentile(0.99):.1f}, {1000 * clients.tally.percentile(1):.0f}"


def test_a_runtime_killed_five_times_costs_writing_calls_that_ran_and_nothing_else(
    shop: Shop, record: soak.Record
) -> None:
    """The gateway cannot know whether those were done: 502. Safe ones are called at the other pod."""
    with load(shop, count=16) as clients:
        clients.expected[FILL] = [200, 502]
        for number in range(5):
            pod = shop.release.runtime("yard").pods[number % 2]
            restarts = pod.restarts
            os.kill(pod.running[0].container.pid(), signal.SIGKILL)
            wait(lambda pod=pod, restarts=restarts: pod.restarts > restarts, _PATIENCE, "it ended")  # type: ignore[misc]
            shop.release.settle(_PATIENCE)
    _noted(record, clients)
    assert not clients.tally.failed, clients.tally.failed[:3]


def test_all_pods_of_the_runtime_that_end_at_once_lose_no_call(shop: Shop, record: soak.Record) -> None:
    """Each serves for its drain delay, in which its successor is found."""
    pods = list(shop.release.runtime("yard").pods)
    with load(shop, count=4) as clients:
        for pod in pods:
            pod.delete()
        wait(lambda: all(pod.gone.is_set() for pod in pods), _PATIENCE, shop.release.state)
        shop.release.settle(_PATIENCE)
        clients.answered(200)
    _noted(record, clients)
    assert not clients.tally.failed, clients.tally.failed[:3]


def test_all_pods_of_the_runtime_that_die_at_once_are_called_again_when_one_is_back(
    shop: Shop, record: soak.Record
) -> None:
    """Meanwhile calls wait for 2 s and then get 503; writing ones that ran got 502."""
    pods = shop.release.runtime("yard").pods
    with load(shop, count=4) as clients:
        clients.expected.update({FIND: [200, 503], FILL: [200, 502, 503]})
        for pod in pods:
            os.kill(pod.running[0].container.pid(), signal.SIGKILL)
        wait(lambda: all(pod.restarts for pod in pods), _PATIENCE, shop.release.state)
        began = time.monotonic()
        wait(lambda: call(shop, "/7").status == 200, _PATIENCE, shop.release.state)
        record("seconds until it answers again", f"{time.monotonic() - began:.1f}")
        shop.release.settle(_PATIENCE)
    _noted(record, clients)
    assert not clients.tally.failed, clients.tally.failed[:3]


# TLS


def _certificate(shop: Shop, secret: str, authority: trustme.CA, name: str) -> None:
    """As cert-manager writes it."""
    issued = authority.issue_cert(name)
    files = {
        "tls.crt": b"".join(each.bytes() for each in issued.cert_chain_pems).decode(),
        "tls.key": issued.private_key_pem.bytes().decode(),
        "ca.crt": authority.cert_pem.bytes().decode(),
    }
    shop.release.put_secret(secret, **files)


def test_a_runtime_with_tls_is_called_by_gateways_that_it_knows_by_their_certificate(shop: Shop) -> None:
    release, authority = shop.release, trustme.CA()
    _certificate(shop, "yard-tls", authority, f"{release.full}-runtime-yard.apis.svc")
    _certificate(shop, "gateways-tls", authority, "gateways.example")
    tls: dict[str, Any] = {"enabled": True, "secretName": "yard-tls", "clientSecretName": "gateways-tls"}
    release.upgrade({"runtimes.yard.tls": tls})
    release.settle(_PATIENCE)
    for pod in release.gateways().pods:
        wait(lambda pod=pod: call(shop, "/7", pod=pod).status == 200, _PATIENCE, release.state)  # type: ignore[misc]
        told = pod.execute("sh", "-c", "stat -L -c '%a %g' /etc/penstock/runtimes/yard/tls.key")
        assert told == (0, "440 10001\n")
    release.upgrade({"runtimes.yard.tls": {**tls, "clientSecretName": "", "serverName": "other.example"}})
    release.settle(_PATIENCE)
    answer = call(shop, "/7", pod=release.gateways().pods[0])
    assert (answer.status, answer.json()["type"]) == (503, "urn:penstock:problem:runtime_unavailable")
    assert "its certificate does not hold" in release.gateways().pods[0].text()
    release.upgrade()
    release.settle(_PATIENCE)
    wait(lambda: call(shop, "/7").status == 200, _PATIENCE, release.state)


# as a cluster's DNS tells it


def test_one_pod_that_is_evicted_loses_no_call_where_names_are_remembered_for_half_a_minute(
    shop: Shop, record: soak.Record
) -> None:
    """The chart's own delays, and DNS as kubeadm sets it up: an address is told for 30 s, and so is a name without one.
    A single pod is the hardest case: its successor is made when it goes."""
    release, runtime = shop.release, shop.release.runtime("yard")
    release.names.ttl = 30
    release.upgrade({"runtimes.yard.replicas": 1, "runtimes.yard.drainDelay": 40, "runtimes.yard.minReadySeconds": 5})
    release.settle(_PATIENCE)
    try:
        with load(shop, count=4) as clients:
            for _ in range(2):
                (pod,) = runtime.pods
                pod.delete()
                wait(pod.gone.is_set, _PATIENCE, release.state)
                release.settle(_PATIENCE)
            clients.answered(200)
        _noted(record, clients)
        record("seconds from SIGTERM to the end", f"{pod.ended_after:.0f}")
        assert not clients.tally.failed, (clients.tally.failed[:3], release.state())
        assert not pod.killed
    finally:
        release.names.ttl = type(release.names).ttl
        release.upgrade()
        release.settle(_PATIENCE)
