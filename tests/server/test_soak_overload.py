"""Wall-clock promises about clients that are too many or too slow (CASES: overload, slow clients; A57). Run by
`make soak`; what they measure is recorded."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway.core.listening import split
from tests import soak
from tests.server.busy_processes import TAKES
from tests.server.nodes import Node

BUSY = """
kind: ApiComponent
name: busy
version: v1
base_path: /busy
operations: {busy: {python: busy}, sink: {python: sink}}
policies: [{use: anonymous}]
rest: {GET /: busy, POST /sink: {call: sink, body: data}}
"""
SECONDS = 8.0
GET = b"GET /busy HTTP/1.1\r\nHost: a\r\n\r\n"
LIVE = b"GET /-/live HTTP/1.1\r\nHost: a\r\n\r\n"

pytestmark = pytest.mark.soak


@contextlib.contextmanager
def node(folder: Path, **settings: str) -> Iterator[Node]:
    with Node(folder, "--processes", "busy_processes", workers=1, **settings) as started:
        started.start()
        found = started.apply(BUSY)
        assert found.status_code == 200, found.text
        yield started


def place(of: Node) -> tuple[str, int]:
    return split(of.url.rpartition("/")[2])


def memory(of: Node) -> int:
    """kB of the worker."""
    (pid,) = of.workers_pids()
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4


async def once(address: tuple[str, int], request: bytes, kept: list[tuple[int, float]]) -> None:
    """A request on a connection of its own: its status, 0 for none, and how long it took."""
    began = time.monotonic()
    status = 0
    with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
        async with asyncio.timeout(30):
            reader, writer = await asyncio.open_connection(*address)
            try:
                writer.write(request.replace(b"Host", b"Connection: close\r\nHost"))
                line = await reader.readuntil(b"\r\n")
                await reader.read()
                status = int(line.split()[1])
            finally:
                writer.close()
    kept.append((status, time.monotonic() - began))


async def offered(address: tuple[str, int], request: bytes, rate: float) -> list[tuple[int, float]]:
    """Requests at a rate, whatever becomes of them."""
    kept: list[tuple[int, float]] = []
    loop = asyncio.get_running_loop()
    began, tasks = loop.time(), set()
    for number in range(int(rate * SECONDS)):
        await asyncio.sleep(max(0.0, began + number / rate - loop.time()))
        task = loop.create_task(once(address, request, kept))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    return kept


def p99(kept: list[tuple[int, float]], status: int = 200) -> float:
    times = sorted(seconds for found, seconds in kept if found == status)
    return times[int(len(times) * 0.99)]


async def capacity(address: tuple[str, int]) -> float:
    """Requests a second that a few clients get answered, one after the other."""
    kept: list[tuple[int, float]] = []
    end = time.monotonic() + 3

    async def client() -> None:
        while time.monotonic() < end:
            await once(address, GET, kept)

    await asyncio.gather(*(client() for _ in range(4)))
    return len(kept) / 3


def test_at_three_times_its_capacity_a_worker_serves_what_it_can_in_time(tmp_path: Path, record: soak.Record) -> None:
    """Promised: 503 and Retry-After, memory at most 1.5 times, p99 of what is admitted at most 3 times."""

    async def run(of: Node) -> None:
        address = place(of)
        most = await capacity(address)
        steady = await offered(address, GET, most * 0.8)
        before = memory(of)
        over, health = await asyncio.gather(offered(address, GET, most * 3), offered(address, LIVE, 10))
        after = memory(of)
        counts = Counter(status for status, _ in over)
        noticed = over[len(over) // 8 :]  # it takes a moment until the overload is
        record(f"capacity at {TAKES * 1000:g} ms each; p99 at 0.8 of it", f"{most:.0f}/s; {p99(steady) * 1000:.0f} ms")
        record("at 3 times: 200, 503", f"{counts[200]}, {counts[503]}")
        record(
            "at 3 times: p99 of 200, after a second, of 503, of health",
            ", ".join(f"{each * 1000:.0f} ms" for each in (p99(over), p99(noticed), p99(noticed, 503), p99(health))),
        )
        record("memory before and after", f"{before}, {after} kB")
        assert set(counts) == {200, 503}
        assert counts[200] > most * SECONDS * 0.5
        assert p99(noticed) <= 3 * max(p99(steady), 0.03)
        assert {status for status, _ in health} == {200}
        assert after <= before * 1.5

    with node(tmp_path, PENSTOCK_MAX_LAG="0.02") as started:
        asyncio.run(run(started))


@contextlib.asynccontextmanager
async def slow(address: tuple[str, int], count: int) -> AsyncIterator[list[tuple[str, asyncio.Task[float]]]]:
    """Clients of four kinds, and how long the gateway lets each of them be."""
    kinds = list(SLOW.items()) * (count // len(SLOW))
    tasks = [(name, asyncio.create_task(lasting(address, *each))) for name, each in kinds]
    try:
        yield tasks
    finally:
        for _, task in tasks:
            task.cancel()


async def lasting(address: tuple[str, int], first: bytes, each_second: bytes) -> float:
    began = time.monotonic()
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(first)
        while True:
            with contextlib.suppress(TimeoutError):
                if not await asyncio.wait_for(reader.read(1000), 1):
                    return time.monotonic() - began
            writer.write(each_second)
    except OSError:
        return time.monotonic() - began
    finally:
        writer.close()


BODY = b"POST /busy/sink HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"
SLOW = {
    "silent": (b"", b""),
    "half a head": (b"GET /busy HTTP/1.1\r\nHo", b""),
    "a head that trickles": (b"GET /busy HTTP/1.1\r\n", b"X-A: b\r\n"),
    "a body that trickles": (BODY, b"x"),
}


def test_a_thousand_slow_clients_are_closed_in_time_and_slow_nobody_else(tmp_path: Path, record: soak.Record) -> None:
    """CASES A57. Promised: heads within 10 s; others' p99 below twice what it was."""

    async def run(of: Node) -> None:
        address = place(of)
        before, kept = memory(of), await offered(address, LIVE, 100)
        async with slow(address, 1000) as clients:
            await asyncio.sleep(2)  # they are there
            during = await offered(address, LIVE, 100)
            most = memory(of)
            await asyncio.wait([task for _, task in clients], timeout=60)
            ends = [(name, task.result() if task.done() else 99.0) for name, task in clients]
        longest = {name: max(seconds for found, seconds in ends if found == name) for name in SLOW}
        ends_after = {name: round(seconds, 1) for name, seconds in longest.items()}
        record("healthy p99 before, beside them", f"{p99(kept) * 1000:.1f} ms, {p99(during) * 1000:.1f} ms")
        record("the longest lasted", f"{ends_after} s")
        record("memory before, at most", f"{before}, {most} kB")
        assert {status for status, _ in during} == {200}
        assert p99(during) < 2 * max(p99(kept), 0.02)
        assert all(longest[name] < 12 for name in SLOW if name != "a body that trickles")
        assert 29 < longest["a body that trickles"] < 35

    with node(tmp_path) as started:
        asyncio.run(run(started))


def test_more_connections_than_the_bound_keep_memory_flat(tmp_path: Path, record: soak.Record) -> None:
    async def run(of: Node) -> None:
        address = place(of)
        held = [socket.create_connection(address) for _ in range(264)]
        before = memory(of)
        kept = await offered(address, GET, 300)
        after = memory(of)
        counts = Counter(status for status, _ in kept)
        record("connections above the bound, of them 503", f"{len(kept)}, {counts[503]}")
        record("memory before and after", f"{before}, {after} kB")
        assert set(counts) == {503}
        assert after < before + 8_000
        for each in held:
            each.close()
        await asyncio.sleep(1)
        assert {status for status, _ in await offered(address, LIVE, 10)} == {200}

    with node(tmp_path, PENSTOCK_MAX_CONNECTIONS="200", PENSTOCK_HEAD_TIMEOUT="60") as started:
        asyncio.run(run(started))
