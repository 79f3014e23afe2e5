"""Rules for single operations, checked against the versions that have them."""

from __future__ import annotations

import pytest

from tests.admin.admin_harness import Bench, problem, shop


def ruled(use: str, rules: str, name: str = "shop") -> str:
    return shop(name).replace("use: api-key}", f"use: api-key}}\n  - {{use: {use}, with: {{{rules}}}}}")


def named(rules: str) -> str:
    return f"kind: Policy\nname: rules\nsteps: [{{use: scopes, with: {{{rules}}}}}]\n"


def following(name: str = "shop") -> str:
    return shop(name).replace("use: api-key}", "use: api-key}\n  - rules")


@pytest.mark.parametrize("use", ["scopes", "roles"])
async def test_an_operation_that_there_is_not_is_refused_with_its_place_and_a_near_name(node: Bench, use: str) -> None:
    answer = await node.apply(ruled(use, "all: [a], operations: {greet: [b], gret: [c]}"))
    (error,) = problem(answer, 422)["errors"]
    assert error["target"] == "documents:13:5 (policies[1])"
    assert error["code"] == "unknown_operation"
    assert error["message"].startswith(f"The step `{use}` (`{use}`) has a rule for `gret`")
    assert error["message"].endswith("Did you mean greet?")


async def test_an_endpoint_that_there_is_not_is_refused(node: Bench) -> None:
    answer = await node.apply(ruled("scopes", "endpoints: {GET /greet: [b], soap greet: [c]}"))
    (error,) = problem(answer, 422)["errors"]
    assert "`GET /greet`" in error["message"]
    assert "GET /greet/{who}" in error["message"]


async def test_a_named_policys_rules_must_mean_something_in_one_of_its_versions(node: Bench) -> None:
    await node.apply(named("operations: {greet: [a]}"), following())
    other = following("other").replace("greet", "bye")
    assert (await node.apply(named("operations: {greet: [a], bye: [b]}"), other)).status_code == 200
    (error,) = problem(await node.apply(named("operations: {greet: [a], byee: [b]}")), 422)["errors"]
    assert "Did you mean bye?" in error["message"]


async def test_what_was_said_before_stands_in_nobodys_way(node: Bench) -> None:
    """The operation may go: its rule is then a rule for nothing."""
    await node.apply(named("operations: {greet: [a]}"), following())
    gone = following().replace("greet", "bye")
    assert (await node.apply(gone, force="true")).status_code == 200
    assert (await node.apply(gone.replace("hello", "again"))).status_code == 200
