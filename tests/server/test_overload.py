"""What a worker takes on, and what it refuses (CASES, overload and slow clients; A57)."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import pytest

from gateway.core.clock import ManualClock
from gateway.core.exchange import Exchange, Head, Reply, Wait
from gateway.core.live import Limits, LiveCell
from gateway.live.health import own_paths, place_health
from gateway.live.router import LiveRouter
from gateway.server.open_files import MOST, ceilings
from gateway.server.overload import LOOK, SPARE, Overload
from tests.server.ports import listening, reaching
from tests.serving import Client, cell, chain

LOOP = "uvloop"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"
READY = b"GET /-/ready HTTP/1.1\r\nHost: a\r\n\r\n"


class Gate:
    """A step that holds exchanges until it is opened."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.entered = 0
        self.arrived = asyncio.Event()

    async def __call__(self, _exchange: Exchange) -> Reply:
        self.entered += 1
        self.arrived.set()
        await self.opened.wait()
        return Reply(200, body=b"done")

    async def until(self, count: int) -> None:
        async with asyncio.timeout(10):
            while self.entered < count:
                self.arrived.clear()
                await self.arrived.wait()


def gated(gate: Gate, **limits: float) -> LiveCell:
    """A cell whose own answers about its health stand beside the gate."""
    live = cell(gate)
    router = LiveRouter(chain(gate))
    place_health(router, "/-", lambda: True)
    live.current = router
    live.own_paths, live.run = own_paths("/-"), b"this run"
    live.limits = Limits(**limits)  # type: ignore[arg-type]
    return live


@contextlib.asynccontextmanager
async def several(place: str, count: int) -> AsyncIterator[list[Client]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(reaching(place)) for _ in range(count)]


async def refused(client: Client, data: bytes) -> None:
    """It gets the whole refusal, and the end of the connection."""
    client.send(data)
    status, fields, body = await client.answer(data.split(b" ")[0])
    assert (status, fields[b"retry-after"], fields[b"connection"]) == (503, b"1", b"close")
    assert data.startswith(b"HEAD") or b'"code":"overloaded"' in body
    assert await client.rest() == b""


async def test_exchanges_above_the_bound_are_refused_before_routing_and_those_in_flight_finish() -> None:
    gate = Gate()
    live = gated(gate, exchanges=2)
    async with listening(live, "127.0.0.1:0") as (port, [place]), several(place, 6) as clients:
        for client in clients[:2]:
            client.send(GET)
        await gate.until(2)
        await refused(clients[2], GET)
        await refused(clients[3], GET.replace(b"GET", b"HEAD"))
        await refused(clients[4], POST + b"x" * 100_000)
        gate.opened.set()
        for client in [*clients[:2], clients[5]]:
            if client is clients[5]:
                client.send(GET)
            assert (await client.answer())[0] == 200
        assert port.told(0)["load"]["counters"]["shed_requests"] == 3
        assert (gate.entered, live.running) == (3, 0)


async def test_a_refused_request_with_others_behind_it_is_answered_once() -> None:
    gate = Gate()
    async with listening(gated(gate, exchanges=1), "127.0.0.1:0") as (_, [place]), several(place, 2) as clients:
        clients[0].send(GET)
        await gate.until(1)
        clients[1].send(GET * 3)
        assert (await clients[1].rest()).count(b"HTTP/1.1 503") == 1
        gate.opened.set()


async def test_health_and_the_nodes_own_probes_are_served_at_the_bound() -> None:
    gate = Gate()
    live = gated(gate, exchanges=1)
    async with listening(live, "127.0.0.1:0") as (_, [place]), several(place, 5) as clients:
        clients[0].send(GET)
        await gate.until(1)
        clients[1].send(READY)
        assert (await clients[1].answer())[0] == 200
        probe = b"OPTIONS /-/live HTTP/1.1\r\nHost: a\r\nX-Penstock-Probe: %b\r\n\r\n"
        clients[2].send((probe % b"this run").replace(b"/-/live", b"/other"))
        await gate.until(2)
        for client, other in ((clients[3], b"another run"), (clients[4], b"")):
            await refused(client, (probe % other).replace(b"/-/live", b"/other"))
        gate.opened.set()


async def test_connections_above_the_bound_serve_health_alone_and_those_above_them_are_told() -> None:
    gate = Gate()
    gate.opened.set()
    live = gated(gate, connections=2)
    async with listening(live, "127.0.0.1:0") as (port, [place]), several(place, 2) as within:
        for client in within:
            client.send(GET)
            assert (await client.answer())[0] == 200
        async with several(place, SPARE) as spare:
            spare[0].send(READY)
            status, fields, _ = await spare[0].answer()
            assert (status, fields[b"connection"]) == (200, b"close")
            await spare[0].rest()
            await refused(spare[1], GET)
            async with several(place, 2) as again:  # in the places of the two that ended
                await refused(again[0], GET)
                async with several(place, 2) as beyond:
                    await _told(beyond[1])
            within[0].send(GET)
            assert (await within[0].answer())[0] == 200
        assert port.told(0)["load"]["counters"]["refused_connections"] >= 1
        assert len(port.overload.live.own_paths) == 2
    assert (port.overload.open, live.ceiling) == (0, Limits().exchanges)


async def _told(client: Client) -> None:
    """Too many: told without a request, and closed once it has gone."""
    status, fields, _ = await client.answer()
    assert (status, fields[b"connection"]) == (503, b"close")
    assert await client.rest() == b""


async def test_the_bound_of_connections_is_free_again_when_they_end() -> None:
    gate = Gate()
    gate.opened.set()
    async with listening(gated(gate, connections=1), "127.0.0.1:0") as (port, [place]):
        for _ in range(3):
            async with reaching(place) as client:
                client.send(GET.replace(b"Host", b"Connection: close\r\nHost"))
                assert (await client.answer())[0] == 200
                await client.rest()
        assert port.overload.shed == 0


# the loop


def head(path: bytes = b"/") -> Head:
    return Head(b"GET", path)


def overload(lag: float = 0.1) -> tuple[Overload, ManualClock]:
    live, clock = gated(Gate(), lag=lag), ManualClock()
    live.clock = clock
    return Overload(live), clock


def refuses(over: Overload) -> bool:
    live = over.live
    return live.running >= live.ceiling and over.refuses(head(), False)


async def test_what_a_late_loop_comes_to_is_refused_until_it_is_on_time() -> None:
    over, clock = overload()
    over.served = lambda: 1000
    over.start()
    clock.advance(LOOK + 0.2)
    over._look()
    assert not refuses(over), "its timer has just run"
    clock.advance(0.05 + 0.09)
    assert not refuses(over)
    clock.advance(0.02)
    assert refuses(over), "the third since the look"
    assert not any(over.refuses(head(path), spare) for path in over.live.own_paths for spare in (True, False))
    over._look()
    assert not refuses(over)
    over.stop()


def admitted(over: Overload, count: int = 1000) -> int:
    return sum(not refuses(over) for _ in range(count))


async def test_no_more_is_begun_than_got_done_in_time() -> None:
    """Also where the work of a request comes after its beginning."""
    over, clock = overload()
    over.served = iter((200, 200, 200)).__next__
    over.start()
    clock.advance(LOOK + 0.4)
    over._look()
    assert admitted(over) == 800, "it may be the only time"
    clock.advance(over.pace + 0.4)
    over._look()
    assert admitted(over) == 200, "800 took 0.4 s: 200 fit into 0.1 s"
    clock.advance(over.pace)
    over._look()
    assert admitted(over) == 241, "it was in time: a little more is tried"
    over.stop()


async def test_one_long_turn_refuses_nobody_and_the_alarm_ends() -> None:
    """A collection, or a swap."""
    over, clock = overload()
    over.served = iter([10_000] + [20_000] * 60).__next__
    over.start()
    clock.advance(LOOK + 5)
    assert not refuses(over)
    over._look()
    assert over.live.ceiling == 0
    for _ in range(25):
        clock.advance(0.05)
        over._look()
        assert not refuses(over)
    assert over.live.ceiling == over.live.limits.exchanges
    over.stop()


async def test_lag_sheds_nothing_when_it_is_switched_off() -> None:
    over, clock = overload(lag=0)
    over.start()
    for _ in range(5):
        clock.advance(60)
        assert not refuses(over)
        over._look()
    over.stop()


async def test_requests_are_shed_while_the_loop_lags() -> None:
    def slow(_exchange: Exchange) -> Reply:
        time.sleep(0.005)
        return Reply(200)

    live = gated(Gate(), lag=0.001)
    live.current._no_route = chain(slow)  # type: ignore[attr-defined]
    async with listening(live, "127.0.0.1:0") as (port, [place]), several(place, 8) as clients:
        port.start()
        statuses = set()
        async with asyncio.timeout(30):
            while 503 not in statuses:
                for client in clients:
                    client.send(GET)
                statuses |= {(await client.answer())[0] for client in clients}
        port.overload.stop()
        assert port.told(0)["load"]["gauges"]["loop_lag_seconds"] > 0.001


# limits


@pytest.mark.parametrize(
    ("files", "connections", "exchanges"), [(1024, 512, 256), (20_000, 13_162, 6_581), (10**6, MOST, MOST // 2)]
)
def test_the_bounds_follow_the_open_files(files: int, connections: int, exchanges: int) -> None:
    assert ceilings(None, None, files) == (connections, exchanges)
    assert connections + exchanges < files


def test_the_limit_of_open_files_is_raised_to_the_hardest() -> None:
    code = (
        "import resource as r; from gateway.server.open_files import open_files, raise_open_files;"
        "hard = r.getrlimit(r.RLIMIT_NOFILE)[1]; r.setrlimit(r.RLIMIT_NOFILE, (300, hard));"
        "raise_open_files(); print(open_files() == hard > 300)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "True\n"


def test_bounds_that_are_set_hold() -> None:
    assert ceilings(10, 7, 1024) == (10, 7)
    assert ceilings(None, None, -1) == (MOST, MOST // 2)


# slow clients


def buffer(exchange: Exchange) -> Wait | None:
    return exchange.wire.buffer(exchange, 1_000_000)


@contextlib.asynccontextmanager
async def clocked(live: LiveCell) -> AsyncIterator[tuple[Client, ManualClock]]:
    clock = ManualClock()
    live.clock = clock
    async with listening(live, "127.0.0.1:0") as (_, [place]), reaching(place) as client:
        yield client, clock


async def test_a_body_that_trickles_is_408() -> None:
    """CASES A57: one byte a second never lets the idle deadline pass."""
    live = cell(buffer, lambda _exchange: Reply(200))
    async with clocked(live) as (client, clock):
        client.send(POST)
        answered = asyncio.create_task(client.answer())
        while not answered.done():
            client.send(b"x")
            await asyncio.sleep(0.02)
            clock.advance(1)
        assert answered.result()[0] == 408
    assert 25 <= live.observe.exchanges[0].received <= 40  # type: ignore[attr-defined]


async def test_a_body_that_is_slow_but_keeps_the_least_rate_arrives() -> None:
    live = cell(buffer, lambda exchange: Reply(200, body=b"%d" % len(exchange.body or b"")))
    async with clocked(live) as (client, clock):
        client.send(POST.replace(b"100000", b"10000"))
        for _ in range(100):
            await _second(client, clock, b"x" * 100)
        assert (await client.answer())[2] == b"10000"


async def _second(client: Client, clock: ManualClock, data: bytes) -> None:
    """A hundredth of one, so that no deadline passes between two sweeps."""
    client.send(data)
    await client.writer.drain()
    await asyncio.sleep(0.01)
    clock.advance(1)


async def test_a_rate_of_zero_lets_any_body_trickle() -> None:
    live = cell(buffer, lambda exchange: Reply(200, body=b"%d" % len(exchange.body or b"")))
    live.limits = Limits(rate=0)
    async with clocked(live) as (client, clock):
        client.send(POST.replace(b"100000", b"100"))
        for _ in range(100):
            await _second(client, clock, b"x")
        assert (await client.answer())[2] == b"100"
