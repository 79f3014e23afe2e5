"""The table of what kinds cost leaves none out."""

from __future__ import annotations

from benchmarks.kind_cases import CASES, UNMEASURED
from benchmarks.kinds import Row, document, table
from gateway.server.kinds import POLICY_KINDS


def test_every_kind_is_measured_or_says_why_not() -> None:
    assert {case.kind for case in CASES} | UNMEASURED.keys() == POLICY_KINDS.keys()


def test_no_two_cases_have_one_name() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
    assert len(document()["rest"]) == 2 * len(CASES)


def test_the_table_tells_the_difference() -> None:
    lines = list(table([Row("cors", "a page", 13.26, 12.0, 0.0)]))
    assert "| `cors` | HEAD | a page | 13.3 | 1.3 | 0 |" in lines
