"""`make bench`: Penstock beside other gateways, in one run.

    python -m benchmarks                                     # everything, about 15 minutes; writes benchmarks/results.*
    python -m benchmarks --rows relay --peers penstock,nginx-lua --seconds 1 --rounds 2
    python -m benchmarks --list

The gateway under load is alone on one core; load, upstream and store share another. Nothing is asserted. A run of
chosen rows or peers prints its tables and writes nothing, unless `--write` says where.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine, measure, record, scale, start, streams, wrk
from benchmarks.messages import RELAY
from benchmarks.peers import nginx, penstock
from benchmarks.peers.peer import LOAD, Running, Site
from benchmarks.rows import PEERS, ROWS, Row
from benchmarks.servers import NotStarted
from gateway.cli.failures import Failed

HERE = Path(__file__).resolve().parent
EXTRAS = {
    "scale": "10,000 routes, 1,000 versions, 100,000 keys; publish among them",
    "streams": "1 GB down and up",
    "start": "cold start to the first served request",
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", help="beginnings of row names, by commas; default: all", default="")
    parser.add_argument("--peers", help="names by commas; default: all that are installed", default="")
    parser.add_argument("--seconds", type=float, default=3.0, help="of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", type=Path, help="folder for results.md, .json, .svg")
    parser.add_argument("--list", action="store_true", help="rows and peers, and what is missing")
    return parser.parse_args()


class Bench:
    """One run."""

    def __init__(self, folder: Path, chosen: argparse.Namespace) -> None:
        self.folder = folder
        self.rounds, self.seconds = chosen.rounds, chosen.seconds
        self.wanted = [name for name in chosen.rows.split(",") if name]
        self.only = [name for name in chosen.peers.split(",") if name]
        if unknown := set(self.only) - set(PEERS):
            sys.exit(f"There is no peer {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}.")
        self.rows = [row for row in ROWS.values() if self._asked(row.name)]
        self.extras = [name for name in EXTRAS if self._asked(name)]
        if not self.rows and not self.extras:
            sys.exit(f"No row begins with {' or '.join(self.wanted)}; there are {', '.join([*ROWS, *EXTRAS])}.")
        self.best: dict[str, float] = {}
        self.results: dict[str, Any] = {
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
            "machine": machine.describe(),
            "how": {"rounds": self.rounds, "seconds": self.seconds},
            "peers": {},
            "skipped": {},
            "rows": {},
            "figures": {},
        }

    def _asked(self, name: str) -> bool:
        return not self.wanted or any(name.startswith(each) for each in self.wanted)

    @property
    def whole(self) -> bool:
        return not self.wanted and not self.only

    def run(self) -> None:
        (self.folder / "upstream").mkdir()
        with nginx.upstream(self.folder / "upstream") as upstream:
            if self.rows:
                with ExitStack() as stack:
                    running = self._start(stack, upstream)
                    for row in self._in_order():
                        self._row(row, running)
            for name in self.extras:
                self._extra(name, upstream)

    def _in_order(self) -> list[Row]:
        """A paced row needs to know what the peers reach."""
        return sorted(self.rows, key=lambda row: row.paced)

    def _start(self, stack: ExitStack, upstream: int) -> dict[str, Running]:
        """The peers of the chosen rows; all run at once, and are loaded one at a time."""
        used = {case.peer for row in self.rows for case in row.cases}
        tls = any(row.tls for row in self.rows)
        running = {}
        for name in (name for name in PEERS if name in used and (not self.only or name in self.only)):
            peer, folder = PEERS[name], self.folder / name
            if missing := peer.missing():
                self._skip(name, missing)
                continue
            folder.mkdir()
            try:
                running[name] = stack.enter_context(peer.run(Site(folder, upstream, tls)))
            except NotStarted as error:
                self._skip(name, f"it did not start: {error}")
                continue
            self.results["peers"][name] = {"version": peer.version(), "does": peer.does}
        return running

    def _skip(self, name: str, why: str) -> None:
        self.results["skipped"][name] = why.splitlines()[0]
        say(f"{name} is skipped: {why}")

    def _row(self, row: Row, running: Mapping[str, Running]) -> None:
        if row.tls and (why := penstock.tls_missing()):
            say(f"\n{row.name} is skipped: {why}")
            return
        if row.paced:
            running = {name: each for name, each in running.items() if self._best(name, each)}
        found = measure.rounds(row, running, self.rounds, self.seconds, self.best)
        self._keep(row, found)

    def _best(self, name: str, running: Running) -> float:
        """What the peer reached at 32 connections; measured now if that row was not."""
        if name not in self.best:
            self.best[name] = wrk.load(running.port, RELAY, 32, 2, core=LOAD).rate
        return self.best[name]

    def _keep(self, row: Row, found: measure.Rounds) -> None:
        measure.clear()
        if not any(found.values()):
            return
        told = self.results["rows"][row.name] = record.row_results(row, found)
        if row.name == "relay-32":
            self.best = {label: each["rate"] for label, each in told["cases"].items()}
        say(f"\n{row.name}: {row.title}\n" + "\n".join(record.table(told)))

    # what is no row over the peers

    def _extra(self, name: str, upstream: int) -> None:
        """A part that fails costs its own figures, not the others'."""
        try:
            {"scale": self._scale, "streams": self._streams, "start": self._cold_start}[name](upstream)
        except (NotStarted, Failed, streams.Cut, OSError) as error:
            say(f"\n{name} could not be measured: {error}")
            self.results["skipped"][name] = f"{type(error).__name__}: {str(error).splitlines()[0]}"

    def _scale(self, upstream: int) -> None:
        folder = self.folder / "scale"
        folder.mkdir()
        with scale.nodes(folder, upstream) as (running, seconds):
            self._keep(scale.ROW, measure.rounds(scale.ROW, running, self.rounds, self.seconds, {}))
            self._tell({"large_start_seconds": seconds, **scale.publish(running[scale.LARGE], folder)})

    def _streams(self, _upstream: int) -> None:
        folder = self.folder / "streams"
        folder.mkdir()
        with streams.upstream(folder) as upstream:
            own = streams.measure(penstock.PENSTOCK, folder, upstream)
            other = None if nginx.missing() else streams.measure(nginx.PROXY, folder, upstream)
        self._tell(streams.figures(own, other))

    def _cold_start(self, upstream: int) -> None:
        times = []
        for number in range(self.rounds):
            folder = self.folder / f"start-{number}"
            folder.mkdir()
            times.append(start.cold(folder, upstream))
        self._tell({"cold_start_seconds": sorted(times)[len(times) // 2]})

    def _tell(self, figures: Mapping[str, float]) -> None:
        measure.clear()
        self.results["figures"] |= figures
        say("\n" + "\n".join(f"{record.FIGURES.get(name, name)}: {value:.3g}" for name, value in figures.items()))


def say(text: str) -> None:
    print(text, flush=True)


def _list() -> None:
    for name, each in {**{row.name: row.title for row in ROWS.values()}, **EXTRAS}.items():
        say(f"{name:12} {each}")
    say("")
    for peer in PEERS.values():
        say(f"{peer.name:14} {peer.missing() or peer.version()}; {peer.does}")


def main() -> None:
    chosen = _arguments()
    if chosen.list:
        _list()
        return
    for missing in (wrk.missing(), nginx.missing()):
        if missing:
            sys.exit(f"{missing}: the upstream and the load of every row need it.")
    os.sched_setaffinity(0, {LOAD % (os.cpu_count() or 1)})
    gc.disable()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        bench = Bench(Path(folder), chosen)
        bench.run()
    to = chosen.write or (HERE if bench.whole else None)
    if to is not None:
        record.write(to, bench.results)
        say(f"\nWritten to {to}/results.md, .json, .svg.")
    say(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
