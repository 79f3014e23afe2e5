"""A plan's limits: the steps that they become."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway.core.errors import InvalidInput
from gateway.manifest.documents import Plan
from gateway.snapshot.explain import explain
from gateway.snapshot.plan_limits import limit_steps, plan_steps
from tests.snapshot.snapshot_harness import KINDS, compiled, component, documents, finding

GOLD = "kind: Plan\nname: gold\nlimits: {rate: 100/1m}\npolicies: [{use: respond, id: more}]\n"


def plan(**limits: object) -> Plan:
    return Plan.model_validate({"kind": "Plan", "name": "gold", "limits": limits})


def test_limits_become_steps_with_fixed_ids_in_a_fixed_order() -> None:
    found = plan(quota={"day": 10, "week": 50, "month": 100}, rate="100/1m", message_size="1MB")
    assert [(name, step.id, step.use, step.with_) for name, step in limit_steps(found)] == [
        ("message_size", "plan-message-size", "message-size", {"limit": "1MB"}),
        ("rate", "plan-rate-limit", "rate-limit", {"limit": "100/1m", "by": "application"}),
        ("quota", "plan-quota", "quota", {"day": 10, "week": 50, "month": 100, "by": "application"}),
    ]


def test_a_window_that_is_not_named_has_no_quota() -> None:
    ((_, step),) = limit_steps(plan(quota={"week": 5}))
    assert step.with_ == {"week": 5, "by": "application"}


def test_a_plan_without_limits_has_its_own_steps_alone() -> None:
    assert plan_steps(Plan.model_validate({"kind": "Plan", "name": "free"})) == ([], [])


@pytest.mark.parametrize("limits", [{"quota": {}}, {"quota": {"day": 0}}, {"quota": {"year": 1}}, {"speed": "1/s"}])
def test_limits_that_say_nothing_or_too_little_are_refused(limits: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        plan(**limits)


async def test_a_limits_counter_belongs_to_the_plan_and_the_step_not_to_a_revision() -> None:
    before = (await compiled(documents(component(), GOLD))).plans["gold"]
    after = (await compiled(documents(component(), GOLD.replace("100", "200").replace("more", "others")))).plans["gold"]
    assert [(step.scope, step.id) for step in before] == [("plan gold", "plan-rate-limit"), ("plan gold", "more")]
    assert (before[0].scope, before[0].id) == (after[0].scope, after[0].id)


async def test_a_limit_that_is_none_is_told_with_its_place() -> None:
    found = await finding(documents(component(), GOLD.replace("100/1m", "often")))
    assert (str(found.place), "100/1m" in found.message) == ("plan gold: limits.rate", True)


async def test_a_step_of_the_plan_cannot_take_a_limits_id() -> None:
    found = await finding(documents(component(), GOLD.replace("id: more", "id: plan-rate-limit")))
    assert found.code == "duplicate_step"


async def test_explaining_tells_what_a_caller_on_a_plan_meets() -> None:
    snapshot = await compiled(documents(component(), GOLD))
    (endpoint, *_) = [each for each in snapshot.versions[0].endpoints if each.protocol == "rest"]
    path = snapshot.versions[0].base_path.replace("{version}", "v1") + endpoint.path
    told = explain(snapshot, endpoint.method, path, {}, KINDS, "gold")
    plain = explain(snapshot, endpoint.method, path, {}, KINDS)
    added = [line.id for line in told.steps if line not in plain.steps]
    assert added == ["plan-rate-limit", "more"]
    with pytest.raises(InvalidInput, match="There are: gold"):
        explain(snapshot, endpoint.method, path, {}, KINDS, "silver")
