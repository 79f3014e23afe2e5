"""Measures a row: rounds over its cases in turn, so that what else the machine does meets all of them."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass

from benchmarks import load, machine, wrk
from benchmarks.peers.peer import ACT, LOAD, Running
from benchmarks.rows import Case, Row

PACE = 0.8
WARM = 1.0  # seconds before the first round of a case


@dataclass(frozen=True)
class Round:
    """One measurement. Times a request in microseconds of user and system time: `cpu` of the workers, `beside` of the
    processes that serve no requests (Penstock's control process and supervisor). Latencies in milliseconds. `busy`:
    the workers' share of their core; `other`: what anybody else took of it."""

    cpu: float
    beside: float
    rate: float
    p50: float
    p99: float
    most: float
    resident: float
    busy: float
    other: float
    wrong: int
    requests: int
    late: float = 0.0


Rounds = dict[str, list[Round]]  # by a case's label
Client = Callable[[Running, Case], wrk.Load]


def measured(running: Running, case: Case, client: Client) -> Round:
    """What one load costs."""
    pids, beside = running.workers, running.beside
    before, before_beside = machine.cpu_of(pids), machine.cpu_of(beside)
    (work, _), began = machine.busy(ACT), time.perf_counter()
    told = client(running, case)
    spent, seconds = machine.cpu_of(pids) - before, time.perf_counter() - began
    aside = machine.cpu_of(beside) - before_beside
    other = max(0.0, (machine.busy(ACT)[0] - work - spent) / seconds)
    each = 1e6 / max(1, told.requests)
    latencies = (told.p50, told.p99, told.most)
    resident = machine.resident(pids)
    return Round(
        spent * each, aside * each, told.rate, *latencies, resident, spent / seconds, other, told.wrong, told.requests,
        told.late,
    )  # fmt: skip


def rounds(row: Row, running: Mapping[str, Running], count: int, seconds: float, best: Mapping[str, float]) -> Rounds:
    """`best`: requests a second that each peer reached at 32 connections, for paced rows."""
    found: Rounds = {case.label: [] for case in row.cases if case.peer in running}
    cases = [case for case in row.cases if case.label in found]

    def client(seconds: float) -> Client:
        def send(target: Running, case: Case) -> wrk.Load:
            if row.paced:
                rate = PACE * best[case.peer]
                return load.paced(target.port, case.message, rate, row.connections, seconds, core=LOAD)
            port = target.tls_port if row.tls else target.port
            return wrk.load(port, case.message, row.connections, seconds, core=LOAD, tls=row.tls)

        return send

    for number in range(count):
        for case in cases:
            if not number:
                client(WARM)(running[case.peer], case)
            found[case.label].append(measured(running[case.peer], case, client(seconds)))
            progress(f"{row.name} {number + 1}/{count} {case.label}")
    return found


def median(rounds_: Iterable[Round]) -> dict[str, float]:
    """The median of every figure, and `cpu_min`, which says what the machine can do when left alone."""
    each = [asdict(one) for one in rounds_]
    found = {name: float(statistics.median(one[name] for one in each)) for name in each[0]}
    found["wrong"] = float(sum(one["wrong"] for one in each))
    return found | {"cpu_min": min(one["cpu"] for one in each)}


def progress(text: str) -> None:
    """What is being done, on a terminal only."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()


def clear() -> None:
    progress("")
