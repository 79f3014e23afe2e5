"""What a request costs in our own Python: a whole worker on in-memory connections, no socket, no second process.

    python -m benchmarks.twin                       # µs a request, by row and stage: the best of many batches
    python -m benchmarks.twin --row key-limit --profile

The worker is composed as `penstock serve` composes it: same chain, directory, hot connection, access log, counters.
Only the kernel is missing, so that figures hardly depend on what else the machine does: compare them between commits.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import socket
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, TypeVar

import orjson
from uvicorn.server import ServerState

from benchmarks import messages, servers, tokens
from benchmarks.memory_transports import MemoryTransport, StoreEnd, TwinLoop, UpstreamEnd
from benchmarks.messages import Message
from gateway.cli.offline import compiled
from gateway.core.secrets import KeyHasher, Secret
from gateway.core.settings import Settings
from gateway.demo.database import make
from gateway.server import collector
from gateway.server.launch import Launch
from gateway.server.protocol import GatewayProtocol
from gateway.server.worker import Worker
from gateway.snapshot.spec import Snapshot
from gateway.store.connect import connect_counters

MANIFESTS = [Path(__file__).resolve().parent / name for name in ("manifests", "token_manifests")]
SECRET = Secret("the key secret of the twin, which nobody else uses")
CONNECTIONS = 32
PATIENCE = 1000  # turns of the loop that a worker has to ask its upstream
STAGES = ("client", "store", "upstream")
T = TypeVar("T")

ROWS = {
    "open": messages.OPEN,
    "key": messages.KEYED,
    "key-limit": messages.RELAY,
    "two-fused": messages.FUSED,
    "browser": messages.AS_BROWSER,
    "paths": messages.PATHS,
    "varied": messages.VARIED,
    "post-1k": messages.POST,
    "ten-edits": messages.EDITED,
    "token-open": tokens.OPEN,  # the same request, and nobody looks at its token
    "token-open-many": tokens.OPEN_MANY,
    "jwt-again": tokens.AGAIN,
    "jwt-seen": tokens.KNOWN,
    "jwt-first": tokens.FIRST,
    "rest": messages.REST,
    "soap": messages.SOAP,
}
CALLS = frozenset((messages.REST, messages.SOAP))  # what a process answers: no upstream is asked


@dataclass(frozen=True)
class Cost:
    """µs of CPU a request, the best batch; by stage: what the client's bytes, the store's answer and the upstream's
    answer started."""

    total: float
    stages: tuple[float, ...]


class Twin:
    """A worker with so many client connections."""

    def __init__(self, worker: Worker, loop: TwinLoop, connections: int) -> None:
        self.loop = loop
        self.directory = worker.directory.current
        state = {"live": worker.cell}
        clients = [MemoryTransport(GatewayProtocol(None, ServerState(), state, loop)) for _ in range(connections)]
        self.clients = clients
        self.calls = False

    @property
    def store(self) -> StoreEnd:
        assert self.loop.store is not None
        return self.loop.store

    def of_stores(self, what: str) -> float:
        """A figure of all connections to the store together."""
        return float(sum(getattr(store, what) for store in self.loop.stores))

    async def learn(self, requests: Iterator[bytes]) -> None:
        """Two requests for which the store's real server answers: the first one loads the script. Then one turn that
        opens the other connections, and is looked at."""
        self.store.learning = True
        for _ in range(2):
            self.clients[0].protocol.data_received(next(requests))
            await self._answer(self.clients[:1])
            _check(self.clients[0].take())
        self.store.learning = False
        await self.turn(requests)
        for client in self.clients:
            _check(client.take())

    async def _answer(self, clients: Sequence[MemoryTransport]) -> None:
        """Until these have their answers, from an upstream or from a process."""
        for _ in range(PATIENCE):
            for end in self.asked():
                end.protocol.data_received(messages.UPSTREAM_REPLY)
            if all(client.written for client in clients):
                return
            await asyncio.sleep(0)
        sys.exit("The twin's worker did not answer")

    async def _until_asked(self, count: int = 1) -> list[UpstreamEnd]:
        """The upstream ends that were written to, once there are so many."""
        for _ in range(PATIENCE):
            if len(self.loop.asked) >= count:
                return self.asked()
            await asyncio.sleep(0)
        answer = b"".join(client.take() for client in self.clients)[:500].decode("latin-1")
        sys.exit(f"The twin's worker asked no upstream; it answered: {answer or 'nothing'}")

    def asked(self) -> list[UpstreamEnd]:
        """The upstream ends that were written to since the last time."""
        asked, self.loop.asked[:] = list(self.loop.asked), []
        for end in asked:
            end.written.clear()
        return asked

    async def turn(self, requests: Iterator[bytes]) -> tuple[float, ...]:
        """One request on each connection, as the kernel hands them over under load: all clients, the store's answers
        in one read, all upstreams. Seconds of CPU by stage."""
        clock, reply = time.thread_time, messages.UPSTREAM_REPLY
        sending = [(client.protocol, next(requests)) for client in self.clients]
        began = clock()
        for protocol, request in sending:
            protocol.data_received(request)
        await asyncio.sleep(0)
        sent = clock()
        answers = self.store.answer * self.store.asked()
        asking = clock()
        if answers:
            self.store.protocol.data_received(answers)
        decided = clock()
        if self.calls:
            await self._answer(self.clients)
            return sent - began, decided - asking, clock() - decided
        asked = await self._until_asked(len(self.clients))
        relaying = clock()
        for end in asked:
            end.protocol.data_received(reply)
        return sent - began, decided - asking, clock() - relaying

    async def batch(self, requests: Iterator[bytes], turns: int) -> tuple[float, ...]:
        """µs a request by stage, over so many turns."""
        spent = [0.0] * len(STAGES)
        for _ in range(turns):
            for stage, seconds in enumerate(await self.turn(requests)):
                spent[stage] += seconds
            for client in self.clients:
                client.written.clear()
        return tuple(seconds / turns / len(self.clients) * 1e6 for seconds in spent)


def _check(reply: bytes) -> None:
    if not reply.startswith(b"HTTP/1.1 200 "):
        sys.exit(f"The twin's worker answered: {reply[:500].decode('latin-1') or 'nothing'}")


def _snapshot(folder: Path, manifests: Sequence[Path]) -> Snapshot:
    make(folder / "shop.db")
    values = {"up": "http://127.0.0.1:9", "db": f"sqlite+aiosqlite:///{folder / 'shop.db'}"}
    values["jwks"] = tokens.key_set()
    environment = folder / "environment.json"
    environment.write_bytes(orjson.dumps({"kind": "Environment", "values": values}))
    return compiled(manifests, ["benchmarks.processes"], environment)


def _put_keys(worker: Worker) -> None:
    directory = worker.directory.current
    hasher = KeyHasher(SECRET)
    for number, key in enumerate(messages.key_list(messages.KEYS)):
        application = f"application-{number}"
        directory.put("applications", application, {})
        directory.put("subscriptions", f"{application}/bench", {})
        digest = hasher.digest(key.encode()).hex()
        directory.put("keys", f"key-{number}", {"digest": digest, "application": application, "api": "bench"})
    directory.as_of = time.time()


@contextmanager
def _launched(manifests: Sequence[Path]) -> Iterator[tuple[Launch, Snapshot]]:
    with tempfile.TemporaryDirectory(prefix="twin-") as name:
        folder = Path(name)
        with servers.store(folder) as store:
            settings = Settings(processes=("benchmarks.processes",), environment=folder / "environment.json")
            snapshot = _snapshot(folder, manifests)
            given = {"settings": settings, "store_url": f"unix://{store}", "data": folder, "key_secret": SECRET}
            given |= {"control_socket": folder / "none", "node": "twin", "places": (), "admin_port": 0}
            given |= {"gateway_fds": ((socket.socket().detach(),),), "tls": (None,)}  # nobody connects to it
            yield Launch(**given), snapshot


def with_twin(
    use: Callable[[Twin], Awaitable[T]], connections: int = CONNECTIONS, manifests: Sequence[Path] = MANIFESTS
) -> T:
    """Runs `use` with a worker that serves these documents."""
    with _launched(manifests) as (given, snapshot):
        loop = TwinLoop()
        try:
            return loop.run_until_complete(_with_worker(given, snapshot, loop, use, connections))
        finally:
            loop.close()


async def _with_worker(
    given: Launch, snapshot: Snapshot, loop: TwinLoop, use: Callable[[Twin], Awaitable[T]], connections: int
) -> T:
    worker = Worker(given, await connect_counters(given.store_url))
    _put_keys(worker)
    worker.swapper.swap(await worker.swapper.prepare(snapshot))
    collector.settle()  # as a worker does before its first request
    try:
        return await use(Twin(worker, loop, connections))
    finally:
        await worker.close()
        for source in worker.port.acceptor.sources:
            source.own.close()


async def cost(twin: Twin, message: Message, batches: int, turns: int) -> Cost:
    twin.calls = message in CALLS
    requests = cycle(message.raws())
    await twin.learn(requests)
    found = [await twin.batch(requests, turns) for _ in range(batches)]
    best = min(found, key=sum)
    return Cost(sum(best), best)


async def profiled(twin: Twin, message: Message, turns: int) -> cProfile.Profile:
    twin.calls = message in CALLS
    requests = cycle(message.raws())
    await twin.learn(requests)
    await twin.batch(requests, turns)
    profile = cProfile.Profile(time.thread_time)  # what others take of the core is nobody's cost
    profile.enable()
    await twin.batch(requests, turns)
    profile.disable()
    return profile


def by_function(profile: cProfile.Profile, count: int, lines: int = 45) -> Iterator[str]:
    """A table of own time and calls a request. The profiler makes Python calls dearer than they are: the order tells
    more than the figures."""
    stats: dict[Any, Any] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    yield f"{'own µs':>8} {'with callees':>13} {'calls':>6}  function"
    ours = {key: value for key, value in stats.items() if not key[0].startswith(str(Path(__file__).parent))}
    for (file, line, name), (_, calls, own, total, _) in sorted(ours.items(), key=lambda each: -each[1][2])[:lines]:
        place = f"{Path(file).parent.name}/{Path(file).name}:{line} " if line else ""
        yield f"{own / count * 1e6:8.2f} {total / count * 1e6:13.2f} {calls / count:6.2f}  {place}{name}"


def _table(costs: Sequence[tuple[str, Cost]]) -> Iterator[str]:
    yield f"{'row':16}" + "".join(f"{name:>10}" for name in ("µs", *STAGES))
    for name, each in costs:
        yield f"{name:16}" + "".join(f"{value:10.2f}" for value in (each.total, *each.stages))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.twin", description=__doc__.partition("\n")[0])
    parser.add_argument("--row", action="append", choices=ROWS, help="default: all")
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--turns", type=int, default=100, help=f"of {CONNECTIONS} requests, a batch")
    parser.add_argument("--profile", action="store_true", help="own time by function")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    rows = {name: ROWS[name] for name in chosen.row or ROWS}

    async def measure(twin: Twin) -> None:
        if chosen.profile:
            for name, message in rows.items():
                found = await profiled(twin, message, chosen.turns * 5)
                print(f"\n{name}", *by_function(found, chosen.turns * 5 * CONNECTIONS), sep="\n")
            return
        costs = [(name, await cost(twin, message, chosen.batches, chosen.turns)) for name, message in rows.items()]
        if chosen.json:
            print(orjson.dumps({name: {"total": each.total, "stages": each.stages} for name, each in costs}).decode())
        else:
            print(*_table(costs), sep="\n")

    with_twin(measure)


if __name__ == "__main__":
    main()
