"""What a store bears of many nodes: the change log and the exact limits of a simulated fleet. Writes fleet.md.

    python -m benchmarks.fleet                       # 1, 10 and 100 nodes
    python -m benchmarks.fleet --nodes 10 --seconds 2

The nodes are connections of this one process that do what a node's processes do at the store: its control process waits
at the change log, reads what is new, beats once a second and after each change; each worker sends counters' calls over
its hot connection. The store is a real server; what it takes is read from the system, and does not hang on how fast
this process is. Times until a change was read are upper bounds: one process reads it for the whole fleet.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import uvloop
from redis.asyncio import Redis

from benchmarks import machine, servers
from gateway.store.counters import Algorithm, Counter, Limit, Rule, Verdict
from gateway.store.redis_counters import RedisCounters
from gateway.store.redis_store import RedisStore
from gateway.store.store import KEYS, Write

OUT: Final = Path(__file__).resolve().parent / "fleet.md"
BEAT: Final = 1.0  # seconds, as the control process has it
TTL: Final = 5.0
STATE: Final = {"run": "0" * 32, "sequence": 1, "hash": "0" * 64, "error": "", "workers": 4, "problems": [], "at": 0.0}
KEY: Final = {"id": "k", "digest": "0" * 64, "application": "partner", "api": "shop", "plan": "gold", "created": 0.0}
COMMITS: Final = 20
WORKERS: Final = 4  # of a node
EXACT: Final = 100  # admitted of one limit, asked for by every worker at once
WIDTHS: Final = (1, 16)  # calls that a worker sends in one turn of its loop
SUBJECTS: Final = 10_000
ALGORITHMS: Final[tuple[Algorithm, ...]] = ("gcra", "sliding")


@dataclass(frozen=True)
class Row:
    nodes: int
    what: str
    figure: str


class Server:
    """The store's process: what it took since the last look."""

    def __init__(self, pid: int, client: Redis) -> None:
        self._pid = pid
        self._client = client

    async def look(self) -> tuple[float, int, float]:
        """CPU seconds so far, commands so far, and when."""
        stats: dict[str, Any] = await self._client.info("stats")
        return machine.cpu(self._pid), stats["total_commands_processed"], time.perf_counter()

    async def info(self, section: str) -> dict[str, Any]:
        found: dict[str, Any] = await self._client.info(section)
        return found


class Node:
    """A control process at the store."""

    def __init__(self, url: str, name: str) -> None:
        self.store = RedisStore(url)
        self.name = name
        self.sequence = 0
        self.read: dict[int, asyncio.Future[float]] = {}  # when each sequence was read
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self.sequence = await self.store.sequence()
        self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._beat())]

    async def _follow(self) -> None:
        while True:
            await self.store.wait(self.sequence, BEAT)
            changes = await self.store.changes(self.sequence)
            for change in changes:
                self.sequence = change.sequence
                self.when(change.sequence).set_result(time.perf_counter())
            if changes:
                await self.store.beat(self.name, STATE, TTL)

    def when(self, sequence: int) -> asyncio.Future[float]:
        """When it has read that change."""
        return self.read.setdefault(sequence, asyncio.get_running_loop().create_future())

    async def _beat(self) -> None:
        while True:
            await self.store.beat(self.name, STATE, TTL)
            await asyncio.sleep(BEAT)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.store.close()


@asynccontextmanager
async def fleet(url: str, size: int) -> AsyncIterator[list[Node]]:
    nodes = [Node(url, f"node-{number}") for number in range(size)]
    for node in nodes:
        await node.start()
    try:
        yield nodes
    finally:
        for node in nodes:
            await node.close()


async def change_log(url: str, server: Server, size: int, seconds: float) -> list[Row]:
    """A fleet at rest, and what a change among it takes."""
    async with fleet(url, size) as nodes:
        await asyncio.sleep(BEAT)
        spent, commands, at = await server.look()
        await asyncio.sleep(seconds)
        after, asked, then = await server.look()
        rest = (after - spent) / (then - at)
        clients = (await server.info("clients"))["connected_clients"] - 1
        late, cost = await _changes(nodes, server)
    return [
        Row(size, "connections of control processes", f"{clients}"),
        Row(size, "at rest: commands a second, of one core", f"{(asked - commands) / (then - at):.0f}, {rest:.1%}"),
        Row(size, "a change, until the median node and the last had read it", f"{late[0]:.0f} ms, {late[1]:.0f} ms"),
        Row(size, "CPU of the store for one change", f"{cost * 1e3:.1f} ms"),
    ]


async def _changes(nodes: Sequence[Node], server: Server) -> tuple[tuple[float, float], float]:
    """Milliseconds until the median and the last node had read a change, the median of all; CPU seconds a change."""
    writer = nodes[0].store
    found = []
    spent = (await server.look())[0]
    for number in range(COMMITS):
        began = time.perf_counter()
        sequence = await writer.commit([Write(KEYS, f"key-{number}", KEY)], {"who": "fleet"})
        late = sorted(at - began for at in await asyncio.gather(*(node.when(sequence) for node in nodes)))
        found.append((statistics.median(late) * 1e3, late[-1] * 1e3))
    cost = ((await server.look())[0] - spent) / COMMITS
    return (statistics.median(each[0] for each in found), statistics.median(each[1] for each in found)), cost


async def limits(url: str, server: Server, size: int, seconds: float) -> list[Row]:
    """Every worker of the fleet at one limit, and at the store's capacity with as many subjects as there are."""
    workers = [RedisCounters(url, timeout=5.0) for _ in range(size * WORKERS)]
    try:
        for worker in workers:
            if not await worker.connect():
                raise SystemExit("the store refused a connection: raise its `maxclients` and the limit of open files")
        connections = (await server.info("clients"))["connected_clients"] - 1
        rows = [
            Row(size, f"connections of {WORKERS} workers a node", f"{connections}"),
            Row(size, f"admitted of {EXACT}, of calls by all workers at once", await _exact(workers)),
        ]
        for algorithm in ALGORITHMS:
            limit = (Limit(f"fleet-{algorithm}", (Rule(algorithm, 10**9, 60.0),)),)
            counters = [worker.counter(limit) for worker in workers]
            for width in WIDTHS:
                figure = await _capacity(counters, server, width, seconds)
                rows.append(Row(size, f"calls of a limit ({algorithm}), {width} in a turn of a worker's loop", figure))
        return rows
    finally:
        for worker in workers:
            await worker.close()


async def _exact(workers: Sequence[RedisCounters]) -> str:
    limit = (Limit(f"exact-{len(workers)}", (Rule("sliding", EXACT, 60.0),)),)
    verdicts: list[Verdict | None] = []
    over = asyncio.Event()

    def answered(verdict: Verdict | None) -> None:
        verdicts.append(verdict)
        if len(verdicts) == 10 * len(workers):
            over.set()

    for worker in workers:
        for _ in range(10):
            worker.counter(limit).take("everybody", answered)
    await over.wait()
    return f"{sum(bool(each and each.allowed) for each in verdicts)}, {len(verdicts)}"


async def _capacity(counters: Sequence[Counter], server: Server, width: int, seconds: float) -> str:
    """Each worker sends its next calls when the last ones were answered."""
    done, undecided, until = 0, 0, time.perf_counter() + seconds
    over = asyncio.get_running_loop().create_future()
    open_ = len(counters)

    def drive(counter: Counter, number: int) -> None:
        left = 0

        def answered(verdict: Verdict | None) -> None:
            nonlocal done, undecided, left, open_
            done += 1
            undecided += verdict is None
            left -= 1
            if not left:
                if time.perf_counter() < until:
                    send()
                else:
                    open_ -= 1
                    if not open_:
                        over.set_result(None)

        def send() -> None:
            nonlocal left
            left = width
            for each in range(width):
                counter.take(f"subject-{(number * 131 + done + each) % SUBJECTS}", answered)

        send()

    before, _, at = await server.look()
    for number, counter in enumerate(counters):
        drive(counter, number)
    await over
    after, _, then = await server.look()
    if undecided:
        raise SystemExit(f"{undecided} calls were not answered: the figure would say nothing")
    each = (after - before) / done
    return f"{each * 1e6:.1f} µs of CPU each, {1 / each:,.0f} on one core ({done / (then - at):,.0f} were sent)"


def table(rows: Sequence[Row]) -> Iterator[str]:
    yield "# A fleet at one store"
    yield ""
    yield f"{date.today()}, {machine.line()}. Made by `python -m benchmarks.fleet`: connections of one process do"
    yield "at a real store what the processes of so many nodes do there. What the store takes is read from the system;"
    yield "times until a change was read are upper bounds, as one process reads it for all."
    yield ""
    yield "| nodes | what | figure |"
    yield "|---|---|---|"
    for row in rows:
        yield f"| {row.nodes} | {row.what} | {row.figure} |"


async def run(sizes: Sequence[int], seconds: float) -> list[Row]:
    rows: list[Row] = []
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="fleet-") as folder, servers.store_process(Path(folder)) as (path, pid):
            url = f"unix://{path}"
            client = Redis.from_url(url)
            server = Server(pid, client)
            rows += await change_log(url, server, size, seconds)
            rows += await limits(url, server, size, seconds)
            await client.aclose()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet", description=__doc__.partition("\n")[0])
    parser.add_argument("--nodes", type=int, action="append", help="default: 1, 10 and 100; writes fleet.md only then")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    chosen = parser.parse_args()
    rows = uvloop.run(run(chosen.nodes or (1, 10, 100), chosen.seconds))
    text = "\n".join(table(rows)) + "\n"
    print(text)
    if not chosen.nodes:
        OUT.write_text(text)


if __name__ == "__main__":
    main()
