"""What rollouts, kills and restarts of the chart's pods cost under a load that goes on: `make chart-run`."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from typing import Final

import pytest

from tests import soak
from tests.charts.run.clients import Load
from tests.charts.run.conftest import Shop
from tests.charts.run.probes import wait

pytestmark = pytest.mark.soak

_PATIENCE: Final = 120.0


def _noted(record: soak.Record, load: Load, seconds: float) -> None:
    tally = load.tally
    record("requests, and lost ones", f"{tally.answered}, {len(tally.failed)}")
    record("requests a second", f"{tally.answered / seconds:.0f}")
    record("ms, median and 99th percentile", f"{_ms(load, 0.5)}, {_ms(load, 0.99)}")


def _ms(load: Load, share: float) -> str:
    return f"{1000 * load.tally.percentile(share):.1f}"


def _broken(load: Load) -> int:
    """Requests that had been sent."""
    return sum("ConnectionRefused" not in each for each in load.tally.failed)


def test_five_rolling_restarts_under_load_lose_no_request(shop: Shop, record: soak.Record) -> None:
    """The rules learn of each change 2.5 s late, which is within the chart's `drainDelay` of 3 here."""
    release, gateways = shop.release, shop.release.gateways()
    release.proxy.delay, began, took = 2.5, time.monotonic(), []
    try:
        with shop.consumer.load(count=16, pause=0.01) as load:
            for _ in range(5):
                gateways.restart()
                took.append(release.settle(_PATIENCE))
            load.answered(500)
    finally:
        release.proxy.delay = 1.0
    _noted(record, load, time.monotonic() - began)
    record("seconds of a rollout", f"{min(took):.0f} to {max(took):.0f}")
    assert not load.tally.failed, (load.tally.failed[:3], release.state())


def test_requests_that_take_long_outlive_the_pod_that_is_told_to_end(shop: Shop, record: soak.Record) -> None:
    """Ten of 6 s each at SIGTERM, whose drain delay is 3 s and whose grace 20."""
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.append(shop.consumer.rest("/stock/v1/erp/slow/6").status))
        for _ in range(10)
    ]
    for each in threads:
        each.start()
    wait(lambda: shop.upstream.slow == 10, _PATIENCE, "all ten are at the upstream")
    pods = list(shop.release.gateways().pods)
    for pod in pods:
        pod.delete()
    for each in threads:
        each.join(_PATIENCE)
    for pod in pods:
        assert pod.gone.wait(_PATIENCE)
    record("answered of 10", str(Counter(answers)[200]))
    record("seconds from SIGTERM to the end", f"{max(pod.ended_after or 0 for pod in pods):.1f}")
    assert answers == [200] * 10
    assert not any(pod.killed for pod in pods)


def test_a_gateway_killed_five_times_costs_what_was_under_way_and_nothing_else(shop: Shop, record: soak.Record) -> None:
    """The rules lead to it for up to a second more; a new connection is refused then, as in a cluster. No reply is
    wrong, and none is an error of the gateway that lives."""
    began, back = time.monotonic(), []
    with shop.consumer.load(count=16, pause=0.01) as load:
        for number in range(5):
            pod = shop.release.gateways().pods[number % 2]
            restarts = pod.restarts
            os.kill(pod.running[0].container.pid(), signal.SIGKILL)
            wait(lambda pod=pod, restarts=restarts: pod.restarts > restarts, _PATIENCE, "it ended")  # type: ignore[misc]
            back.append(shop.release.settle(_PATIENCE))
            time.sleep(2)
    _noted(record, load, time.monotonic() - began)
    refused = sum("ConnectionRefused" in each for each in load.tally.failed)
    record("refused connections, and broken requests, of each kill", f"{refused / 5:.0f}, {_broken(load) / 5:.1f}")
    record("seconds until it is ready again", f"{min(back):.0f} to {max(back):.0f}")
    wrong = [each for each in load.tally.failed if "HTTP/1.1 5" in each]
    assert not wrong, wrong[:3]


def test_five_restarts_of_the_store_under_load_lose_no_request(shop: Shop, record: soak.Record) -> None:
    """By kill -9 in turn with an ordered end; the sample's limit says `on_store_loss: open`."""
    made = shop.consumer.admin("/applications", b'{"name": "kept"}')
    assert made.status in (201, 409)
    began, away = time.monotonic(), []
    with shop.consumer.load(count=8) as load:
        for number in range(5):
            (store,) = shop.release.store().pods
            lost = time.monotonic()
            if number % 2:
                store.delete()
                wait(store.gone.is_set, _PATIENCE, "it ended")
            else:
                restarts = store.restarts
                os.kill(store.running[0].container.pid(), signal.SIGKILL)
                wait(lambda store=store, restarts=restarts: store.restarts > restarts, _PATIENCE, "it ended")  # type: ignore[misc]
            shop.release.settle(_PATIENCE)
            away.append(time.monotonic() - lost)
    _noted(record, load, time.monotonic() - began)
    record("seconds without a store", f"{min(away):.0f} to {max(away):.0f}")
    shop.release.proxy.now()
    assert shop.consumer.admin("/applications/kept").status == 200
    assert not load.tally.failed, (load.tally.failed[:3], shop.release.state())


def test_a_node_that_is_lost_does_not_hold_up_the_next_publish(shop: Shop, record: soak.Record) -> None:
    """Its machine is gone: nobody ends it in order, and it says nothing more. The hook Job comes right after."""
    pod = shop.release.gateways().pods[0]
    os.kill(pod.running[0].container.pid(), signal.SIGKILL)
    pod.delete(grace=0)
    shop.release.upgrade({r"documents.files.more\.yaml": "kind: Plan\nname: more\npolicies: []\n"})
    began = time.monotonic()
    (job,) = shop.release.hook("post-upgrade", _PATIENCE)
    record("seconds until it is published", f"{time.monotonic() - began:.1f}")
    record("tries of the hook Job", str(len(job.tried)))
    assert "Plan more" in job.tried[-1]
    shop.release.settle(_PATIENCE)
    shop.release.upgrade()
