"""What `penstock doctor` says of runtimes and of the processes of what is live."""

from __future__ import annotations

from typing import Any

from gateway.cli.finding import Found
from gateway.cli.hosted import hosted

PLACED = {"version": "shop@v2", "operation": "get_order", "process": "order", "code": "own", "at": ["far"], "why": []}


def runtime(connected: int = 2, trouble: str | None = None, *nodes: tuple[str, int]) -> dict[str, Any]:
    told = [{"node": name, "connected": count, "trouble": None if count else "refused"} for name, count in nodes]
    return {"name": "far", "place": "far:8090", "connected": connected, "trouble": trouble, "nodes": told}


def said(*found: Found) -> list[tuple[str, str, str]]:
    return [(each.what, each.state, each.seen) for each in found]


def test_a_runtime_that_every_node_reaches_is_well() -> None:
    assert said(*hosted([runtime(2, None, ("a", 2), ("b", 2))], [PLACED])) == [
        ("runtime far", "ok", "2 processes connected at far:8090")
    ]


def test_a_runtime_that_nobody_reaches_is_bad_and_says_why() -> None:
    (found,) = hosted([runtime(0, "far has no address", ("a", 0))], [])
    assert said(found) == [("runtime far", "bad", "not reached at far:8090: far has no address")]
    assert "Start it" in found.out


def test_a_runtime_that_one_node_does_not_reach_names_that_node() -> None:
    assert said(*hosted([runtime(2, None, ("a", 2), ("b", 0))], [])) == [
        ("runtime far", "bad", "not reached by b (refused)")
    ]


def test_an_operation_that_nothing_can_run_is_bad() -> None:
    nowhere = PLACED | {"code": "none", "at": []}
    other = nowhere | {"why": ["far: its contract is another: input loud is new and required"]}
    assert said(*hosted([], [nowhere, other])) == [
        ("version shop@v2", "bad", "get_order cannot run: no runtime that is connected hosts it"),
        (
            "version shop@v2",
            "bad",
            "get_order cannot run: far: its contract is another: input loud is new and required",
        ),
    ]


def test_an_operation_that_runs_is_not_told_of() -> None:
    assert list(hosted([], [PLACED, PLACED | {"code": "fits"}])) == []
