"""The policy kinds `concurrency` and `spike-arrest`."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.core.exchange import Exchange, Reply
from gateway.core.ids import id_source
from gateway.core.kinds import Built
from gateway.core.live import LiveCell
from gateway.policy import concurrency, spike_arrest
from gateway.store.leases import Granted
from tests.policy.policy_harness import Gateway, OneChain, json_of
from tests.serving import connected, served

SCOPES = ["cluster", "worker"]


class Backend:
    """Answers when it is told to; counts how many run."""

    def __init__(self) -> None:
        self.running = self.most = self.begun = 0
        self.waiting: list[asyncio.Future[None]] = []

    async def work(self, _exchange: Exchange) -> Reply:
        self.running += 1
        self.begun += 1
        self.most = max(self.most, self.running)
        self.waiting.append(asyncio.get_running_loop().create_future())
        try:
            await self.waiting[-1]
        finally:
            self.running -= 1
        return Reply(200)

    def finish(self) -> None:
        """The first that still runs."""
        next(each for each in self.waiting if not each.done()).set_result(None)


def slots(gateway: Gateway, **config: Any) -> Built:
    return gateway.build(concurrency.KIND, {"limit": 2} | config, "slots")


async def begun(backend: Backend, count: int) -> None:
    async with asyncio.timeout(10):
        while backend.begun < count:  # noqa: ASYNC110 - that is how it shows
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("scope", SCOPES)
async def test_no_more_than_so_many_run_at_once(gateway: Gateway, scope: str) -> None:
    backend = Backend()
    chain = gateway.chain(slots(gateway, scope=scope), last=backend.work)  # type: ignore[arg-type]
    calls = [asyncio.create_task(gateway.request(chain)) for _ in range(2)]
    await begun(backend, 2)
    refused = await gateway.request(chain)
    assert (refused.status, refused.get(b"retry-after"), json_of(refused)["limit"]) == (429, b"1", "slots")
    backend.finish()
    await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    calls.append(asyncio.create_task(gateway.request(chain)))
    await begun(backend, 3)
    backend.finish()
    backend.finish()
    assert [answer.status for answer in await asyncio.gather(*calls)] == [200, 200, 200]
    assert backend.most == 2


async def test_a_refusal_may_be_a_503(gateway: Gateway) -> None:
    backend = Backend()
    chain = gateway.chain(slots(gateway, limit=1, status=503), last=backend.work)  # type: ignore[arg-type]
    call = asyncio.create_task(gateway.request(chain))
    await begun(backend, 1)
    assert (await gateway.request(chain)).status == 503
    backend.finish()
    await call


async def test_a_call_that_waits_gets_the_slot_that_is_given_back(gateway: Gateway) -> None:
    backend = Backend()
    chain = gateway.chain(slots(gateway, limit=1, wait="30s"), last=backend.work)  # type: ignore[arg-type]
    calls = [asyncio.create_task(gateway.request(chain)) for _ in range(4)]
    for number in range(4):
        await begun(backend, number + 1)
        backend.finish()
    assert [answer.status for answer in await asyncio.gather(*calls)] == [200] * 4
    assert backend.most == 1
    assert gateway.counters.leases.held == {}


async def test_who_waits_too_long_is_refused_and_so_is_who_finds_the_line_full(gateway: Gateway) -> None:
    backend = Backend()
    built = slots(gateway, limit=1, wait="50ms", queue=1)
    chain = gateway.chain(built, last=backend.work)  # type: ignore[arg-type]
    first = asyncio.create_task(gateway.request(chain))
    await begun(backend, 1)
    answers = await asyncio.gather(*(gateway.request(chain) for _ in range(3)))
    assert [answer.status for answer in answers] == [429, 429, 429]
    backend.finish()
    assert (await first).status == 200


async def test_a_slot_is_given_back_when_a_later_step_refuses_or_fails(gateway: Gateway) -> None:
    def fail(_exchange: Exchange) -> Reply:
        raise RuntimeError("broken")

    chain = gateway.chain(slots(gateway, limit=1), last=fail)
    assert [(await gateway.request(chain)).status for _ in range(3)] == [500, 500, 500]


class LostLeases:
    def lease(self, name: str, limit: int) -> LostLeases:
        return self

    def take(self, subject: str, deliver: Granted) -> None:
        deliver(None)


class LostCounters:
    leases = LostLeases()


@pytest.mark.parametrize(("loss", "status"), [("closed", 503), ("open", 200)])
async def test_a_lost_store_closes_unless_told_otherwise(gateway: Gateway, loss: str, status: int) -> None:
    gateway.counters = LostCounters()
    assert (await gateway.request(gateway.chain(slots(gateway, on_store_loss=loss)))).status == status


@pytest.mark.parametrize("scope", SCOPES)
async def test_clients_that_leave_at_any_moment_leak_no_slot(gateway: Gateway, scope: str) -> None:
    """CASES A60. 100 aborts at random offsets: in the head, while it waits, in the reply."""
    chance = random.Random(60)

    async def work(_exchange: Exchange) -> Reply:
        await asyncio.sleep(chance.choice((0, 0.001, 0.005)))
        return Reply(200, body=b"x" * 5000)

    built = slots(gateway, limit=3, scope=scope, wait="30ms", queue=2)
    chain = gateway.chain(built, last=work)  # type: ignore[arg-type]
    request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    cell = LiveCell(OneChain(chain), id_source("id"), gateway.clock)
    async with served(cell) as address:

        async def leave() -> None:
            async with connected(address) as client:
                client.send(request[: chance.randrange(len(request) + 1)] if chance.random() < 0.3 else request)
                await asyncio.sleep(chance.choice((0, 0.001, 0.004, 0.01)))

        for _ in range(10):
            await asyncio.gather(*(leave() for _ in range(10)))
        async with asyncio.timeout(10):
            while cell.running:  # noqa: ASYNC110 - that is how it shows
                await asyncio.sleep(0.005)
        leases = gateway.counters.leases
        assert leases.held == {}


@pytest.mark.parametrize(
    "config", [{}, {"limit": 0}, {"limit": 1, "wait": "31s"}, {"limit": 1, "queue": 0}, {"limit": 1, "status": 500}]
)
def test_limits_that_cannot_be_meant_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        concurrency.KIND.config.model_validate(config)


# spike-arrest


def pace(gateway: Gateway, **config: Any) -> Built:
    return gateway.build(spike_arrest.KIND, {"limit": "10/s"} | config, "pace")


async def test_calls_pass_one_after_the_other(gateway: Gateway) -> None:
    chain = gateway.chain(pace(gateway))
    assert [(await gateway.request(chain)).status for _ in range(3)] == [200, 429, 429]
    gateway.clock.advance(0.1)
    assert [(await gateway.request(chain)).status for _ in range(2)] == [200, 429]


async def test_a_call_that_comes_too_early_waits_for_its_turn(gateway: Gateway) -> None:
    loop = asyncio.get_running_loop()
    chain = gateway.chain(pace(gateway, limit="50/s", delay="50ms"))
    began = loop.time()
    answers = await asyncio.gather(*(gateway.request(chain) for _ in range(6)))
    assert [answer.status for answer in answers] == [200, 200, 200, 429, 429, 429]
    assert loop.time() - began >= 0.04


@pytest.mark.parametrize("config", [{}, {"limit": "x"}, {"limit": "1/s", "delay": "11s"}, {"limit": "1/s", "burst": 2}])
def test_paces_that_cannot_be_meant_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        spike_arrest.KIND.config.model_validate(config)
