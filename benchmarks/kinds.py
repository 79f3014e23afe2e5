"""What a step of each policy kind costs a request: benchmarks/kinds.md.

    python -m benchmarks.kinds                  # every kind; writes kinds.md
    python -m benchmarks.kinds --kind cors      # some of them; writes nothing

A worker on in-memory connections (see `benchmarks.twin`) relays the same request through a route with the step and
through one without; the difference is the step. The store's real server answers, and its time is not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import orjson

from benchmarks import kind_cases, machine
from benchmarks.kind_cases import CASES, Case
from benchmarks.twin import Twin, with_twin
from gateway.server.kinds import POLICY_KINDS

OUT: Final = Path(__file__).resolve().parent / "kinds.md"
CONNECTIONS: Final = 128  # so that turns of the loop weigh little
PROMPT: Final = 200  # turns of the loop after which somebody else is waited for
PATIENCE: Final = 1200  # turns that a request may take
BAR: Final = 1.0  # µs for kinds that need the head alone (PERFORMANCE)


@dataclass(frozen=True)
class Row:
    """µs a request with the step and without it; calls of the store a request."""

    kind: str
    title: str
    with_step: float
    without: float
    store: float

    @property
    def cost(self) -> float:
        return self.with_step - self.without


def document() -> dict[str, Any]:
    """Two routes for each case: with its step, and without."""
    rest: dict[str, Any] = {}
    for case in CASES:
        relay = {"relay": "up", "path": "/**"}
        step = {"id": "measured", "use": case.kind, "with": case.settings}
        rest[f"ANY /{case.name}/**"] = {**relay, "policies": [*case.before, step]}
        rest[f"ANY /{case.name}-without/**"] = {**relay, "policies": [*case.before, *case.instead]}
    return {
        "kind": "ApiComponent",
        "name": "bench",
        "version": "kinds",
        "base_path": "/kinds",
        "documents": "public",
        "values": {"up": {"required": True}, "db": {"default": ""}},
        "backends": {"up": {"http": {"targets": ["${up}"]}}},
        "rest": rest,
    }


async def turn(twin: Twin, requests: Iterator[bytes], case: Case, status: bytes) -> float:
    """One request on each connection, until all are answered. Seconds of CPU."""
    reply = case.upstream()
    sending = [(client.protocol, next(requests)) for client in twin.clients]
    began, elsewhere = time.thread_time(), twin.of_stores("spent")
    for protocol, request in sending:
        protocol.data_received(request)
    for waited in range(PATIENCE):
        await asyncio.sleep(0 if waited < PROMPT else 0.01)  # a thread works for it
        for end in twin.asked():
            end.protocol.data_received(reply)
        if all(client.written for client in twin.clients):
            break
    spent = time.thread_time() - began - (twin.of_stores("spent") - elsewhere)
    for client in twin.clients:
        answer = client.take()
        if not answer.startswith(b"HTTP/1.1 " + status):
            sys.exit(f"{case.name} was answered: {answer[:600].decode('latin-1') or 'nothing'}")
    return spent


@dataclass(frozen=True)
class Route:
    """What is asked of one of the two routes of a case, and its status."""

    case: Case
    requests: Iterator[bytes]
    status: bytes

    async def batch(self, twin: Twin, turns: int) -> float:
        """µs a request: the median of so many turns."""
        spent = [await turn(twin, self.requests, self.case, self.status) for _ in range(turns)]
        return statistics.median(spent) / len(twin.clients) * 1e6


async def row(twin: Twin, case: Case, batches: int, turns: int) -> Row:
    """The best batch of each route; they take turns, so that whatever else the machine does is done to both."""
    plain = Route(case, cycle(case.raws(f"/kinds/{case.name}-without/items/42")), b"200")
    measured = Route(case, cycle(case.raws(f"/kinds/{case.name}/items/42")), case.status)
    for store in twin.loop.stores:
        store.learning = True
    for each in (plain, measured):
        await each.batch(twin, 3)
    without, with_step, asked = [], [], 0.0
    for _ in range(batches):
        without.append(await plain.batch(twin, turns))
        before = twin.of_stores("commands")
        with_step.append(await measured.batch(twin, turns))
        asked += twin.of_stores("commands") - before
    return Row(case.kind, case.title, min(with_step), min(without), asked / (batches * turns * len(twin.clients)))


def table(rows: Sequence[Row]) -> Iterator[str]:
    yield "# What each policy kind costs"
    yield ""
    yield f"{date.today()}, {machine.line()}. Made by `python -m benchmarks.kinds`: µs of our own Python a request,"
    yield "a GET of 100 bytes unless the row says otherwise, on in-memory connections. **costs** is the difference"
    yield "between a route with the step and the same one without; store calls are answered by a real server, whose"
    yield "time and whose connection are not counted. Differences below 0.3 µs are noise."
    yield ""
    yield f"Kinds that need the head alone are promised to cost at most {BAR:g} µs; those that ask the store,"
    yield "somebody outside, or a signature, cost what that costs."
    yield ""
    yield "| kind | stage | what is measured | µs with it | costs | store calls |"
    yield "|---|---|---|---|---|---|"
    for each in rows:
        kind = POLICY_KINDS[each.kind]
        stage = kind.stage.name + (" / BODY" if kind.reply_stage > kind.stage else "")
        yield (
            f"| `{each.kind}` | {stage} | {each.title} | {each.with_step:.1f} | {each.cost:.1f} | {each.store:.2g} |"
        )
    if kind_cases.UNMEASURED:
        yield ""
        yield "Not measured: " + "; ".join(f"`{name}`: {why}" for name, why in kind_cases.UNMEASURED.items()) + "."


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kinds", description=__doc__.partition("\n")[0])
    parser.add_argument("--kind", action="append", choices=[case.kind for case in CASES], help="default: all")
    parser.add_argument("--batches", type=int, default=5)
    parser.add_argument("--turns", type=int, default=15, help=f"of {CONNECTIONS} requests, a batch")
    chosen = parser.parse_args()
    cases = [case for case in CASES if not chosen.kind or case.kind in chosen.kind]

    async def run(twin: Twin) -> list[Row]:
        kind_cases.fill(twin.directory)
        rows = []
        for case in cases:
            rows.append(await row(twin, case, chosen.batches, chosen.turns))
            print(f"{case.name:28}{rows[-1].with_step:8.1f}{rows[-1].cost:8.1f}", file=sys.stderr)
        return rows

    with tempfile.TemporaryDirectory(prefix="kinds-") as name:
        manifest = Path(name) / "kinds.json"
        manifest.write_bytes(orjson.dumps(document()))
        rows = with_twin(run, CONNECTIONS, [manifest])
    text = "\n".join(table(rows)) + "\n"
    if chosen.kind:
        print(text)
    else:
        OUT.write_text(text)


if __name__ == "__main__":
    main()
