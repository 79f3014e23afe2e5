"""docs/conformance.md names every test of a promised line, and every promised line has one."""

from __future__ import annotations

import re

from tests.conformance.table import DOCUMENT, HERE, LINES, shown


def test_every_line_has_a_test_and_every_test_stands_in_the_table() -> None:
    sources = "".join(path.read_text() for path in HERE.glob("test_*.py"))
    names = set(re.findall(r"def (test_[fph]\d\d_\w+)", sources))
    told = set(re.findall(r"`(test_[fph]\d\d_\w+)`", DOCUMENT.read_text()))
    assert names == told, "run: python -m tests.conformance.table"
    lines = {f"{letter.lower()}{number:02}" for letter, numbers in LINES.items() for number in numbers}
    assert {name[5:8] for name in names} == lines


def test_every_line_of_availability_has_a_test_and_each_stands_in_the_table() -> None:
    rows = [line.split("|")[1:] for line in DOCUMENT.read_text().splitlines() if line.startswith(("| A", "| M"))]
    told = {(row[0].strip(), name) for row in rows for name in re.findall(r"`(test_\w+)", "|".join(row))}
    there = {(line, each.name) for line, tests in shown().items() for each in tests}
    assert there == told, "run: python -m tests.conformance.table"
    assert {line for line, _ in there} == set(shown())
