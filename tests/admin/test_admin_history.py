"""Policies as data: revisions, what differs, the way back, what a change reaches; and activations of versions."""

from __future__ import annotations

from typing import Any

import pytest

from tests.admin.admin_harness import PLAN, YAML, Bench, policy, problem, shop
from tests.admin.test_admin_redaction import with_secret

RULED = shop().replace("policies:\n", "policies:\n  - team\n")
GATEWAY = policy("gateway")


async def revised(node: Bench) -> None:
    """A policy with two revisions, and an endpoint that has it."""
    assert (await node.apply(policy(), RULED)).status_code == 200
    assert (await node.apply(policy(team="red"), token="policy-editor")).status_code == 200


async def test_a_policy_tells_who_applied_which_revision(node: Bench) -> None:
    await revised(node)
    items = (await node.send("GET", "/policies/team/revisions")).json()["items"]
    assert [(each["revision"], each["actor"], each["current"]) for each in items] == [
        (1, "admin", False),
        (2, "policy-editor", True),
    ]
    assert all(each["at"] == node.clock.time() for each in items)


async def test_a_revision_of_a_policy_shows_its_steps(node: Bench) -> None:
    await revised(node)
    one = (await node.send("GET", "/policies/team/revisions/1")).json()
    assert one["steps"][0]["with"]["request"]["set"] == {"X-Team": "blue"}
    problem(await node.send("GET", "/policies/team/revisions/3"), 404)
    problem(await node.send("GET", "/policies/team/revisions/x"), 404)


async def test_two_revisions_of_a_policy_are_compared(node: Bench) -> None:
    await revised(node)
    told = (await node.send("GET", "/policies/team/diff")).json()
    assert (told["from"], told["to"]) == (1, 2)
    assert [(each["before"], each["after"]) for each in told["items"]] == [("blue", "red")]
    assert (await node.send("GET", "/policies/team/diff?from=2&to=2")).json()["items"] == []
    problem(await node.send("GET", "/policies/team/diff?from=7"), 404)


async def test_a_policy_rolls_back_to_a_new_revision(node: Bench) -> None:
    await revised(node)
    told = (await node.send("POST", "/policies/team/rollback", json={})).json()
    assert (told["from"], told["to"], told["live"]) == (2, 3, ["n1"])
    assert {(each["version"], tuple(each["changed"])) for each in told["touched"]} == {("shop@v1", ("team/team",))}
    shown = (await node.send("GET", "/policies/team")).json()
    assert shown["revisions"]["3"] == shown["revisions"]["1"]
    assert "blue" in node.service.snapshot().dump().decode()
    last = (await node.send("GET", "/policies/team/revisions")).json()["items"][-1]
    assert (last["restores"], last["actor"], last["current"]) == (1, "admin", True)
    audit = (await node.send("GET", "/audit?action=policy.rollback")).json()["items"]
    assert [(each["subject"], each["from"], each["to"]) for each in audit] == [("team", 2, 3)]


async def test_a_roll_back_that_leads_nowhere_is_refused(node: Bench) -> None:
    await node.apply(policy())
    problem(await node.send("POST", "/policies/team/rollback", json={}), 409)
    problem(await node.send("POST", "/policies/team/rollback", json={"to": 1}), 409)
    problem(await node.send("POST", "/policies/team/rollback", json={"to": 9}), 404)
    problem(await node.send("POST", "/policies/other/rollback", json={}), 404)


async def touched(node: Bench, document: str) -> list[dict[str, Any]]:
    answer = await node.apply(document, dry_run="true")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["touched"]
    return found


async def test_a_plan_of_a_policy_change_names_the_endpoints_it_touches(node: Bench) -> None:
    await node.apply(policy(), RULED, shop("other"))
    found = await touched(node, policy(team="red"))
    assert {each["version"] for each in found} == {"shop@v1"}
    rest = next(each for each in found if each["endpoint"] == "GET /greet/{who}")
    assert rest["changed"] == ["team/team"]
    assert (rest["added"], rest["removed"], rest["plan"]) == ([], [], None)
    assert rest["before"] == rest["after"] == ["team/team", "keys"]


async def test_a_plan_of_a_policy_change_tells_the_chain_before_and_after(node: Bench) -> None:
    await node.apply(policy(), RULED)
    longer = policy() + "  - {id: more, use: headers, with: {request: {set: {X-More: yes-please}}}}\n"
    rest = next(each for each in await touched(node, longer) if each["endpoint"] == "GET /greet/{who}")
    assert (rest["added"], rest["removed"], rest["changed"]) == (["team/more"], [], [])
    assert rest["before"] == ["team/team", "keys"]
    assert rest["after"] == ["team/team", "team/more", "keys"]


async def test_a_gateway_policy_touches_every_endpoint(node: Bench) -> None:
    await node.apply(shop(), shop("other"))
    found = await touched(node, GATEWAY)
    assert {each["version"] for each in found} == {"shop@v1", "other@v1"}
    assert all(len(each["added"]) == 1 and not each["removed"] for each in found)


async def test_a_plan_touches_the_endpoints_of_those_who_are_on_it(node: Bench) -> None:
    await node.apply(shop(), shop("other"), PLAN)
    await node.send("POST", "/applications", json={"name": "partner"})
    body = {"application": "partner", "api": "other", "plan": "gold"}
    assert (await node.send("POST", "/subscriptions", json=body)).status_code == 201
    found = await touched(node, PLAN.replace("10/1m", "20/1m"))
    assert {(each["version"], each["plan"]) for each in found} == {("other@v1", "gold")}
    assert all(each["changed"] == ["minute"] for each in found)


async def test_a_change_that_is_made_tells_what_it_touched(node: Bench) -> None:
    await node.apply(policy(), RULED)
    told = (await node.send("PUT", "/policies/team", headers=YAML, content=policy(team="red"))).json()
    assert {each["version"] for each in told["touched"]} == {"shop@v1"}


async def test_a_roll_back_may_be_tried(node: Bench) -> None:
    await revised(node)
    told = (await node.send("POST", "/policies/team/rollback?dry_run=true", json={})).json()
    assert {each["version"] for each in told["touched"]} == {"shop@v1"}
    assert (told["sequence"], told["live"]) == (None, [])
    assert (await node.send("GET", "/policies/team")).json()["revision"] == 2


async def test_a_version_tells_its_activations_and_goes_back_to_one(node: Bench) -> None:
    await node.apply(shop())
    await node.apply(shop(text="bye"), token="publisher")
    items = (await node.send("GET", "/versions/shop@v1/activations")).json()["items"]
    assert [(each["actor"], each["active"]) for each in items] == [("admin", False), ("publisher", True)]
    told = await node.send("POST", "/versions/shop@v1/activations", json={"revision": items[0]["revision"]})
    assert told.json()["live"] == ["n1"]
    now = (await node.send("GET", "/versions/shop@v1/activations")).json()["items"]
    assert now[-1] == {"revision": items[0]["revision"], "since": node.clock.time(), "actor": "admin", "active": True}
    again = {"revision": items[0]["revision"]}
    problem(await node.send("POST", "/versions/shop@v1/activations", json=again), 409)
    problem(await node.send("POST", "/versions/shop@v1/activations", json={"revision": "nothing"}), 404)


async def test_every_policy_kind_tells_all_of_itself(node: Bench) -> None:
    kinds = (await node.send("GET", "/policy-kinds?limit=1000")).json()["items"]
    assert len(kinds) > 20
    for kind in kinds:
        assert kind.keys() == {"name", "family", "stage", "reply_stage", "protects", "summary", "example", "config"}
        assert kind["summary"]
        assert kind["config"]["type"] == "object"
    assert (await node.send("GET", "/policy-kinds/api-key")).json()["protects"] is True
    problem(await node.send("GET", "/policy-kinds/nothing"), 404)


async def test_an_environment_tells_names_and_nothing_else(node: Bench) -> None:
    await node.apply(with_secret())
    node.control.facts = {**node.control.facts, "environment": {"values": ["spare"], "secrets": []}}
    await node.store.beat("n1", node.control.heartbeat(), 60)
    (told,) = (await node.send("GET", "/environments")).json()["items"]
    assert told["secrets"] == {"known": [], "missing": ["erp"], "unused": []}
    assert told["values"] == {"known": ["spare"], "missing": [], "unused": ["spare"]}
    assert (await node.send("GET", "/environments/n1")).json() == told
    problem(await node.send("GET", "/environments/n2"), 404)


@pytest.mark.parametrize("path", ["/policies", "/policy-kinds", "/versions", "/audit", "/keys", "/nodes/n1"])
async def test_a_parameter_that_is_not_understood_is_refused(node: Bench, path: str) -> None:
    told = problem(await node.send("GET", f"{path}?sort=name"), 400)
    assert "'sort'" in told["detail"]
    problem(await node.send("GET", f"{path}?limit=1&limit=2"), 400)
