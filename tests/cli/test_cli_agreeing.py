"""`penstock doctor`: where nodes do not agree."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.cli.agreeing import examine_nodes


def node(name: str, serving: int = 7, at: float = 1000.0) -> dict[str, Any]:
    return {"name": name, "serving": serving, "at": at}


def test_nodes_that_agree_are_not_told() -> None:
    assert list(examine_nodes([node("a"), node("b", at=994.0)], 1001.0)) == []


def test_a_node_that_has_not_followed_is_told_with_how_far_it_is_behind() -> None:
    (found,) = examine_nodes([node("a", 9), node("b", 7)], 1000.0)
    assert (found.what, found.state) == ("node b", "warn")
    assert found.seen.startswith("2 changes behind")
    assert found.out


@pytest.mark.parametrize(("at", "which"), [(1003.0, "3 s ahead of"), (992.0, "8 s behind")])
def test_a_node_whose_clock_goes_wrong_is_told(at: float, which: str) -> None:
    (found,) = examine_nodes([node("a"), node("b", at=at)], 1000.0)
    assert (found.what, found.state) == ("clock of b", "warn")
    assert which in found.seen


def test_what_a_bound_token_may_not_see_of_a_node_is_no_finding() -> None:
    assert list(examine_nodes([{"name": "a"}, node("b")], 1000.0)) == []


def test_nodes_with_different_key_secrets_are_told_by_what_they_have() -> None:
    nodes = [node(name) | {"key_check": check} for name, check in (("a", "1"), ("b", "2"), ("c", "1"))]
    (found,) = examine_nodes([*nodes, node("older")], 1000.0)
    assert (found.what, found.state) == ("key secret", "bad")
    assert "a, c / b" in found.seen
    assert "PENSTOCK_KEY_SECRET" in found.out


def test_nodes_with_one_key_secret_are_well() -> None:
    (found,) = examine_nodes([node(name) | {"key_check": "1"} for name in "ab"], 1000.0)
    assert (found.what, found.state) == ("key secret", "ok")
