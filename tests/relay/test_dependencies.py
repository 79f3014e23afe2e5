"""A service that policies ask and that is dead: nobody waits for it any more, until it is back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.core.clock import ManualClock
from gateway.core.locations import Location
from gateway.relay.dependencies import FAILURES, GONE, KEPT, PAUSE, Dependencies
from gateway.relay.network import Network
from gateway.relay.outside import DependencyFailed, Outside
from gateway.telemetry.counters import of_ended, render_prometheus
from tests.upstreams import OK, Conversation, RecordingUpstream, always, upstream


class Service:
    """Closes, is silent, or answers with `status`, as `how` says."""

    def __init__(self) -> None:
        self.how = "closes"
        self.go = asyncio.Event()

    async def __call__(self, conversation: Conversation) -> None:
        while await conversation.request():
            if self.how == "closes":
                conversation.close()
                return
            if self.how == "waits":
                await self.go.wait()
            conversation.send(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n" if self.how == "errs" else OK)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def outside(clock: ManualClock) -> AsyncIterator[Outside]:
    made = Outside(Network(clock=clock))
    yield made
    await made.close()


async def ask(outside: Outside, at: RecordingUpstream, seconds: float = 20.0) -> int:
    return (await outside.fetch("GET", at.url, timeout=seconds, limit=1000)).status


async def fails(outside: Outside, at: RecordingUpstream, count: int, seconds: float = 20.0) -> str:
    for _ in range(count):
        with pytest.raises(DependencyFailed) as refused:
            await ask(outside, at, seconds)
    return dict(refused.value.headers)[b"Retry-After"].decode()


async def test_after_a_few_failures_nobody_waits_and_one_finds_out_that_it_is_back(
    outside: Outside, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    service = Service()
    async with upstream(service) as at:
        with caplog.at_level(logging.INFO, "gateway.outside"):
            await fails(outside, at, FAILURES)
            asked = len(at.received)
            assert await fails(outside, at, 50) == str(int(PAUSE))
            assert len(at.received) == asked
            service.how = "waits"
            clock.advance(PAUSE)
            probe = asyncio.create_task(ask(outside, at))
            await at.heard(asked + 1)
            await fails(outside, at, 10)
            assert len(at.received) == asked + 1, "half-open admits one"
            service.how = "answers"
            service.go.set()
            assert await probe == 200
            assert [await ask(outside, at) for _ in range(10)] == [200] * 10
        told = [each.message for each in caplog.records if "not asked" in each.message or "again" in each.message]
        assert told == [f"{at.url[7:]} gives no answer: it is not asked for 5 s", f"{at.url[7:]} answers again"]
        assert at.url[7:] in str(outside.dependencies.states())


async def test_a_probe_whose_client_leaves_lets_another_one_through(outside: Outside, clock: ManualClock) -> None:
    service = Service()
    async with upstream(service) as at:
        await fails(outside, at, FAILURES)
        service.how = "waits"
        clock.advance(PAUSE)
        asked = len(at.received)
        probe = asyncio.create_task(ask(outside, at))
        await at.heard(asked + 1)
        probe.cancel()
        await asyncio.gather(probe, return_exceptions=True)
        service.how = "answers"
        assert await ask(outside, at) == 200


async def test_an_answer_is_no_failure_whatever_its_status_and_size(outside: Outside) -> None:
    service = Service()
    service.how = "errs"
    async with upstream(service) as at:
        assert [await ask(outside, at) for _ in range(2 * FAILURES)] == [500] * 2 * FAILURES
    async with upstream(always(b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2000)) as large:
        await fails(outside, large, 2 * FAILURES)
        assert len(large.received) == 2 * FAILURES


async def test_what_is_too_impatient_does_not_speak_for_what_is_not(outside: Outside) -> None:
    service = Service()
    service.how = "waits"
    async with upstream(service) as at:
        await fails(outside, at, FAILURES, seconds=0.001)
        service.go.set()
        assert await ask(outside, at) == 200


async def test_the_metrics_tell_of_each_origin(outside: Outside) -> None:
    async with upstream(Service()) as at:
        await fails(outside, at, FAILURES + 3)
        states = [{**each, "worker": 1} for each in outside.dependencies.states()]
        page = render_prometheus([{"endpoints": [], "dependencies": states}]).decode()
    assert f'penstock_dependency_circuit{{origin="{at.url[7:]}",worker="1"}} 2\n' in page
    for name, value in (("opened", 1), ("failed", FAILURES), ("refused", 3)):
        assert f'penstock_dependency_{name}_total{{origin="{at.url[7:]}"}} {value}\n' in page


def seen_by(worker: int, *, circuit: int, failed: int) -> dict[str, Any]:
    entry = {"origin": "idp:443", "worker": worker, "circuit": circuit, "opened": 1, "failed": failed, "refused": 2}
    return {"endpoints": [], "dependencies": [entry]}


def test_what_a_worker_counted_outlives_it_and_what_it_saw_does_not() -> None:
    ended = of_ended([of_ended([seen_by(0, circuit=2, failed=5)]), seen_by(1, circuit=2, failed=7)])
    page = render_prometheus([ended, seen_by(1, circuit=0, failed=1)]).decode()
    assert 'penstock_dependency_failed_total{origin="idp:443"} 13\n' in page
    assert 'penstock_dependency_refused_total{origin="idp:443"} 6\n' in page
    assert page.count("penstock_dependency_circuit{") == 1


def test_a_page_of_ended_workers_alone_tells_no_circuit() -> None:
    page = render_prometheus([of_ended([seen_by(0, circuit=2, failed=5)])]).decode()
    assert 'penstock_dependency_failed_total{origin="idp:443"} 5\n' in page
    assert "penstock_dependency_circuit" not in page


def test_the_circuits_that_were_used_longest_ago_are_forgotten_and_their_numbers_stay() -> None:
    known = Dependencies(ManualClock())
    for number in range(KEPT + 10):
        one = known.find(Location.parse(f"http://h{number}"), 1.0)
        known.ended(one, one.circuit.enter(), number < 5)
    assert len(known._known) == KEPT
    told = known.states()
    assert [each["origin"] for each in told if "ended" in each] == [f"h{number}" for number in range(5)]
    assert sum(each["failed"] for each in told) == 5


def test_the_numbers_of_ever_more_origins_are_told_together() -> None:
    known = Dependencies(ManualClock())
    for number in range(KEPT + GONE + 10):
        one = known.find(Location.parse(f"http://h{number}"), 1.0)
        known.ended(one, one.circuit.enter(), True)
    told = {each["origin"]: each["failed"] for each in known.states()}
    assert (len(told), told["other"]) == (KEPT + GONE + 1, 10)
