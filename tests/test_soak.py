"""The table of soak figures: rows are replaced, never lost, and stand in one order."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from tests.soak import Record, Row, _read, recorder


def rows(path: Path) -> list[tuple[str, str, str, str]]:
    return [row[:4] for row in _read(path)]


def test_a_figure_takes_the_place_of_the_one_of_the_run_before(tmp_path: Path) -> None:
    path = tmp_path / "soak.md"
    recorder("test_b", path, date(2026, 1, 2))("failed", "3")
    recorder("test_a", path, date(2026, 1, 2))("p99", "7 ms")
    recorder("test_b", path, date(2026, 1, 3))("requests", "30000")
    recorder("test_b", path, date(2026, 1, 3))("failed", "0")
    assert rows(path) == [
        ("test_a", "p99", "7 ms", "2026-01-02"),
        ("test_b", "failed", "0", "2026-01-03"),
        ("test_b", "requests", "30000", "2026-01-03"),
    ]


def test_what_would_break_the_table_does_not(tmp_path: Path) -> None:
    path = tmp_path / "soak.md"
    note: Record = recorder("test_a[x|y]", path, date(2026, 1, 2))
    note("one\ntwo", "1|2")
    note("one two", "1/3")
    (row,) = _read(path)
    assert row[:3] == ("test_a[x/y]", "one two", "1/3")
    assert path.read_text().startswith("# Promises")
    assert isinstance(row, Row)
