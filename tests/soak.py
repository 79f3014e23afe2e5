"""Records what a soak test measured: one table, `benchmarks/soak.md`, with a row for each promise and figure."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final, NamedTuple

RECORD: Final = Path(__file__).resolve().parent.parent / "benchmarks" / "soak.md"
_TOP: Final = """# Promises that take time, as measured

Written by `make soak`: each row is the last run of its test. The tests are marked `soak`; their names are the promises.
`load` is how many processes wanted a core of the machine when the test began: what else ran there.

| test | what | figure | date | machine |
|---|---|---|---|---|
"""

Record = Callable[[str, str], None]  # what was measured, and the figure with its unit


class Row(NamedTuple):
    test: str
    what: str
    figure: str
    date: str
    machine: str

    def line(self) -> str:
        return "| " + " | ".join(self) + " |\n"


def write(path: Path, row: Row) -> None:
    """Puts the row in the place of the one with the same test and figure's name; the others stay as they are. Rows
    stand in the order of their names, so that a run changes only what it measured."""
    rows = {(each.test, each.what): each for each in _read(path)}
    rows[row.test, row.what] = row
    beside = path.with_suffix(".new")
    beside.write_text(_TOP + "".join(rows[key].line() for key in sorted(rows)), encoding="utf-8")
    beside.replace(path)


def rows(path: Path = RECORD) -> Iterator[Row]:
    """What was recorded."""
    return _read(path)


def _read(path: Path) -> Iterator[Row]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for line in lines:
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if line.startswith("| ") and len(cells) == len(Row._fields) and cells[0] != "test":
            yield Row(*cells)


def machine() -> str:
    """What the figures depend on: the processor, how many cores, the Python."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{next(names, platform.machine())}, {os.cpu_count()} cores, Python {platform.python_version()}"


def recorder(test: str, path: Path = RECORD, today: date | None = None) -> Record:
    """Notes figures of one test, which begins now."""
    where = f"{machine()}, load {os.getloadavg()[0]:.1f}"
    day = (today or datetime.now(UTC).date()).isoformat()

    def record(what: str, figure: str) -> None:
        cells = (test, what, figure, day, where)
        write(path, Row(*(cell.replace("|", "/").replace("\n", " ") for cell in cells)))

    return record
