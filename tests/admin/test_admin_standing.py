"""How a live version stands, changed by the admin REST: life cycle, canary, callers."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core.clock import utc_text
from gateway.snapshot.spec import VersionSpec
from tests.admin.admin_harness import PLAN, Bench, policy, problem, shop

V1 = "/versions/shop@v1"


async def live(node: Bench, *texts: str) -> None:
    for text in texts or (shop(), shop().replace("version: v1", "version: v2")):
        answer = await node.apply(text)
        assert answer.status_code == 200, answer.text


async def put(node: Bench, path: str, body: dict[str, Any], token: str = "publisher") -> Any:
    return await node.send("PUT", V1 + path, token, json=body)


def served(node: Bench, name: str = "shop@v1") -> VersionSpec:
    return {each.name: each for each in node.control.served.snapshot.versions}[name]


async def shown(node: Bench) -> Any:
    return (await node.send("GET", V1)).json()


async def audited(node: Bench) -> dict[str, Any]:
    return dict((await node.store.audit(1))[0])


# life cycle


async def test_a_version_is_deprecated_without_another_manifest(node: Bench) -> None:
    await live(node)
    before = await shown(node)
    answer = await put(node, "/lifecycle", {"status": "deprecated", "sunset": "2027-01-31", "successor": "v2"})
    assert answer.status_code == 200, answer.text
    life = served(node).lifecycle
    assert (life.status, life.successor, life.sunset and life.sunset.year) == ("deprecated", "v2", 2027)
    assert life.since is not None
    assert life.since.timestamp() == node.clock.time()
    after = await shown(node)
    assert (after["status"], after["lifecycle_from"], after["revision"]) == (
        "deprecated",
        "version",
        before["revision"],
    )
    entry = await audited(node)
    assert (entry["actor"], entry["action"], entry["subject"]) == ("publisher", "version.deprecated", "shop@v1")
    assert entry["lifecycle"]["sunset"] == "2027-01-31"


async def test_what_was_set_stays_when_another_revision_is_published_or_rolled_back(node: Bench) -> None:
    await live(node)
    await put(node, "/lifecycle", {"status": "deprecated"})
    await live(node, shop(text="other"))
    assert served(node).lifecycle.status == "deprecated"
    await node.send("POST", V1 + "/rollback")
    assert served(node).lifecycle.status == "deprecated"


async def test_reinstating_brings_the_manifests_life_cycle_back(node: Bench) -> None:
    await live(node)
    await put(node, "/lifecycle", {"status": "retired", "successor": "v2"})
    assert served(node).lifecycle.status == "retired"
    assert (await node.send("DELETE", V1 + "/lifecycle", "publisher")).status_code == 200
    assert served(node).lifecycle.status == "published"
    problem(await node.send("DELETE", V1 + "/lifecycle", "publisher"), 409)


@pytest.mark.parametrize(
    ("body", "target"),
    [
        ({"status": "draft"}, "status"),
        ({"status": "gone"}, None),
        ({"status": "retired", "successor": "v9"}, "successor"),
        ({"status": "retired", "successor": "v1"}, "successor"),
        ({"status": "deprecated", "sunset": "soon"}, None),
        ({"status": "deprecated", "sunset_acts": True}, None),
        ({"status": "published", "brownouts": [{"from": "2026-01-01", "until": "2026-01-02"}]}, None),
        ({"status": "retired", "sucessor": "v2"}, "sucessor"),
    ],
)
async def test_a_life_cycle_that_cannot_be_meant_changes_nothing(
    node: Bench, body: dict[str, Any], target: str | None
) -> None:
    await live(node)
    sequence = await node.store.sequence()
    told = problem(await put(node, "/lifecycle", body), 400)
    assert told.get("target") == target
    assert await node.store.sequence() == sequence


async def test_a_version_that_is_not_live_has_no_standing(node: Bench) -> None:
    await live(node)
    problem(await node.send("PUT", "/versions/shop@v9/lifecycle", json={"status": "retired"}), 404)


# canary


async def canary(node: Bench, share: str = "10%", **more: str) -> Any:
    return await node.apply(shop(text="new"), canary=share, **more)


async def test_a_canary_is_served_beside_the_active_revision(node: Bench) -> None:
    await live(node)
    active = served(node).revision
    told = (await canary(node, "10%", canary_header="X-Canary", canary_applications="partner,other")).json()
    assert told["items"][0]["detail"].endswith("canary for 10.0000%")
    assert served(node).revision == active
    beside = served(node, "shop@v1~canary")
    assert beside.revision != active
    rule = node.control.served.snapshot.canaries["shop@v1"]
    assert (rule.share, rule.header, rule.applications) == (0.1, "X-Canary", ("partner", "other"))
    assert (await shown(node))["canary"]["revision"] == beside.revision


async def test_a_canary_is_promoted_and_can_be_rolled_back(node: Bench) -> None:
    await live(node)
    active = served(node).revision
    await canary(node)
    beside = served(node, "shop@v1~canary").revision
    assert (await node.send("POST", V1 + "/canary/promote", "publisher")).status_code == 200
    assert served(node).revision == beside
    assert node.control.served.snapshot.canaries == {}
    assert (await shown(node))["history"] == [active]
    assert (await audited(node))["action"] == "canary.promote"
    await node.send("POST", V1 + "/rollback")
    assert served(node).revision == active


async def test_a_canary_is_aborted(node: Bench) -> None:
    await live(node)
    active = served(node).revision
    await canary(node)
    assert (await node.send("DELETE", V1 + "/canary", "publisher")).status_code == 200
    assert [each.name for each in node.control.served.snapshot.versions] == ["shop@v1", "shop@v2"]
    assert served(node).revision == active
    assert (await audited(node))["action"] == "canary.abort"


async def test_who_gets_a_canary_is_changed_and_the_rest_stays(node: Bench) -> None:
    await live(node)
    await canary(node, "10%", canary_header="X-Canary")
    built = served(node, "shop@v1~canary")
    assert (await put(node, "/canary", {"share": "25%"})).status_code == 200
    rule = node.control.served.snapshot.canaries["shop@v1"]
    assert (rule.share, rule.header) == (0.25, "X-Canary")
    assert served(node, "shop@v1~canary").digest == built.digest, "nothing is built again for it"


@pytest.mark.parametrize(
    "body", [{"share": "110%"}, {"share": "x"}, {"value": "yes"}, {"sticky": "moon"}, {"who": "x"}]
)
async def test_a_rule_that_cannot_be_meant_changes_nothing(node: Bench, body: dict[str, Any]) -> None:
    await live(node)
    await canary(node)
    sequence = await node.store.sequence()
    problem(await put(node, "/canary", body), 400)
    assert await node.store.sequence() == sequence


async def test_without_a_canary_there_is_nothing_to_change(node: Bench) -> None:
    await live(node)
    for method, path in (("PUT", "/canary"), ("DELETE", "/canary"), ("POST", "/canary/promote")):
        body = {"share": "5%"} if method == "PUT" else None
        problem(await node.send(method, V1 + path, "publisher", json=body), 409)


async def test_a_canary_needs_something_beside_which_it_runs(node: Bench) -> None:
    told = problem(await canary(node), 422)
    assert told["errors"][0]["code"] == "no_active_revision"


async def test_publishing_past_a_canary_is_refused(node: Bench) -> None:
    await live(node)
    await canary(node)
    told = problem(await node.apply(shop(text="third")), 422)
    assert told["errors"][0]["code"] == "canary_running"
    again = await node.apply(shop(text="new"))
    assert [each["action"] for each in again.json()["items"]] == ["unchanged"]
    assert (await node.apply(shop(text="third"), canary="5%")).status_code == 200


async def test_a_canary_that_is_found_elsewhere_is_refused(node: Bench) -> None:
    await live(node)
    moved = shop(text="new").replace("/shop/{version}", "/store/{version}")
    told = problem(await node.apply(moved, canary="10%", force="true"), 422)
    assert told["errors"][0]["code"] == "canary_elsewhere"


async def test_a_rollback_ends_the_canary(node: Bench) -> None:
    await live(node)
    await live(node, shop(text="second"))
    await canary(node)
    await node.send("POST", V1 + "/rollback")
    assert (await shown(node))["canary"] is None
    assert [each.name for each in node.control.served.snapshot.versions] == ["shop@v1", "shop@v2"]


async def test_explain_tells_which_revision_an_application_gets(node: Bench) -> None:
    await live(node)
    await canary(node, "0%", canary_applications="partner", canary_header="X-Canary")
    beside = served(node, "shop@v1~canary").revision

    async def told(**more: Any) -> Any:
        body = {"method": "GET", "url": "/shop/v1/greet/you", **more}
        return (await node.send("POST", "/explain", json=body)).json()

    assert (await told())["revision"] == served(node).revision
    assert (await told(application="partner"))["revision"] == beside
    by_header = await told(headers={"X-Canary": "yes"})
    assert (by_header["revision"], by_header["canary"]) == (beside, "canary, by header X-Canary")


async def test_explain_tells_the_pin_of_an_application(node: Bench) -> None:
    by_header = "select_by: [header]\nbase_path: /shop\n"
    texts = [
        shop(text=version)
        .replace("version: v1", f"version: {version}")
        .replace("base_path: /shop/{version}\n", by_header)
        for version in ("v1", "v2")
    ]
    await live(node, *texts)
    await node.send("POST", "/applications", json={"name": "partner"})
    made = await node.send("POST", "/subscriptions", json={"application": "partner", "api": "shop", "version": "v2"})
    assert made.status_code in {200, 201}, made.text
    body = {"method": "GET", "url": "/shop/greet/you", "application": "partner"}
    told = (await node.send("POST", "/explain", json=body)).json()
    assert (told["version"], told["selected_by"]) == (
        "shop@v2",
        "pin of the application partner, Api-Version is not given",
    )


# callers


async def test_who_called_a_version_is_told_by_application(node: Bench) -> None:
    await live(node)
    callers = node.service.callers
    callers.clock = node.clock
    callers.add([("shop", "v1", "partner", 3), ("shop", "v2", "other", 9), ("shop", "v1", None, 1)])
    callers.add([("shop", "v1", "partner", 4)])
    told = (await node.send("GET", V1 + "/callers", "viewer", params={"days": 7})).json()
    assert (told["calls"], told["days"]) == (8, 7)
    day = told["items"][0]["first"]
    assert told["items"] == [
        {"application": "partner", "calls": 7, "first": day, "last": day},
        {"application": None, "calls": 1, "first": day, "last": day},
    ]
    problem(await node.send("GET", V1 + "/callers", params={"days": 401}), 400)


async def test_usage_is_told_by_application_version_and_bucket(node: Bench) -> None:
    await live(node)
    callers = node.service.callers
    callers.clock = node.clock
    callers.add([("shop", "v1", "partner", 3, 1, 1, 10, 20), ("shop", "v2", None, 9, 0, 0, 0, 5)])
    node.clock.advance(3600)
    callers.add([("shop", "v1", "partner", 2, 0, 0, 1, 2)])
    day = utc_text(node.clock.time())[:10]
    first = utc_text(node.clock.time() - 3600)[:10]
    told = (await node.send("GET", "/usage", "viewer", params={"from": first, "to": day})).json()["items"]
    counts = {"calls": 5, "refused": 1, "failed": 1, "received": 11, "sent": 22}
    named = {"bucket": None, "component": "shop", "version": "v1", "application": "partner"}
    assert told[0] == named | counts
    assert [(each["version"], each["application"], each["calls"]) for each in told[1:]] == [("v2", None, 9)]
    query = {"from": first, "to": day, "each": "hour", "application": "partner"}
    hours = (await node.send("GET", "/usage", "viewer", params=query)).json()["items"]
    assert [each["calls"] for each in hours] == [3, 2]
    query |= {"each": "day"}
    assert sum(each["calls"] for each in (await node.send("GET", "/usage", params=query)).json()["items"]) == 5


@pytest.mark.parametrize(
    "query",
    [{"from": "yesterday"}, {"each": "week"}, {"from": "2027-01-02", "to": "2027-01-01"}, {"from": "2001-01-01"}],
)
async def test_usage_of_no_range_is_refused(node: Bench, query: dict[str, str]) -> None:
    problem(await node.send("GET", "/usage", params=query), 400)


async def test_what_became_different_is_told_by_protocol(node: Bench) -> None:
    await live(node, shop(), shop().replace("version: v1", "version: v2").replace("GET /greet", "GET /hello"))
    query = {"from": "shop@v1", "to": "shop@v2"}
    told = (await node.send("GET", "/changelog", "viewer", params=query)).json()["items"]
    assert [(each["protocol"], each["change"]) for each in told] == [("rest", "breaking"), ("rest", "added")]
    assert (await node.send("GET", "/changelog", params=query | {"protocol": "soap"})).json()["items"] == []
    problem(await node.send("GET", "/changelog", params=query | {"protocol": "grpc"}), 400)


# versions that steps name


def mirroring(to: str = "v9", text: str = "hello") -> str:
    return shop(text=text).replace("use: api-key}", "use: api-key}\n  - {use: mirror, with: {to: " + to + "}}")


async def test_a_step_that_names_a_version_which_there_is_not_is_refused_with_its_place(node: Bench) -> None:
    await live(node)
    told = problem(await node.apply(mirroring(), dry_run="true"), 422)
    (error,) = told["errors"]
    assert error["code"] == "unknown_version"
    assert "names the version v9 of shop, which is not there. There are: v2." in error["message"]
    assert error["target"] == "documents:13:5 (policies[1])"
    assert (await node.apply(mirroring("v2"))).status_code == 200


async def test_a_version_may_be_named_by_a_step_that_comes_with_it(node: Bench) -> None:
    assert (await node.apply(mirroring("v2"), shop().replace("version: v1", "version: v2"))).status_code == 200


async def test_a_retired_version_cannot_be_named_anew_and_may_be_retired_or_removed_while_it_is_named(
    node: Bench,
) -> None:
    await live(node)
    assert (await node.apply(mirroring("v2"))).status_code == 200
    retired = await node.send("PUT", "/versions/shop@v2/lifecycle", "publisher", json={"status": "retired"})
    assert retired.status_code == 200
    assert (await node.apply(mirroring("v2", "other"))).status_code == 200, "it named that one before"
    await node.apply(shop())
    (error,) = problem(await node.apply(mirroring("v2")), 422)["errors"]
    assert "is retired" in error["message"]
    assert (await node.send("POST", V1 + "/rollback")).status_code == 200, "a roll-back is never refused for it"
    assert (await node.send("DELETE", "/versions/shop@v2", "publisher")).status_code == 200


def plan(to: str) -> str:
    return f"kind: Plan\nname: gold\npolicies:\n  - {{use: mirror, with: {{to: {to}}}}}\n"


async def test_a_plan_that_names_a_version_which_no_component_has_is_refused_with_its_place(node: Bench) -> None:
    await live(node)
    (error,) = problem(await node.apply(plan("v9")), 422)["errors"]
    assert error["code"] == "unknown_version"
    assert "of plan gold names the version v9" in error["message"]
    assert "Their versions: v1, v2." in error["message"]
    assert error["target"] == "plan gold: policies[0]"
    assert (await node.apply(plan("v2"))).status_code == 200
    assert (await node.apply(plan("canary"))).status_code == 200
    document = {"kind": "Plan", "name": "gold", "policies": [{"use": "mirror", "with": {"to": "v8"}}]}
    problem(await node.send("PUT", "/plans/gold", json=document), 422)


async def test_a_plan_names_versions_of_the_components_whose_callers_have_it(node: Bench) -> None:
    await live(node)
    await node.apply(shop("other"), PLAN)
    await node.send("POST", "/applications", json={"name": "partner"})
    await node.send("POST", "/subscriptions", json={"application": "partner", "api": "other", "plan": "gold"})
    (error,) = problem(await node.apply(plan("v2")), 422)["errors"]
    assert "the plan is for: other. Their versions: v1." in error["message"]
    await node.send("POST", "/subscriptions", json={"application": "partner", "api": "shop", "plan": "gold"})
    assert (await node.apply(plan("v2"))).status_code == 200


async def test_a_plan_that_named_a_version_before_it_went_stands_in_nobodys_way(node: Bench) -> None:
    await live(node)
    await node.apply(plan("v2"))
    assert (await node.send("DELETE", "/versions/shop@v2", "publisher")).status_code == 200
    assert (await node.apply(plan("v2") + "  - {use: anonymous-nothing}\n")).status_code == 422
    titled = plan("v2").replace("name: gold", "name: gold\ntitle: Gold")
    assert (await node.apply(titled)).status_code == 200


# policies that a roll-back pinned


async def test_pins_end_with_the_revision_that_has_them_and_come_back_with_it(node: Bench) -> None:
    await node.apply(policy(team="blue"))
    following = shop().replace("use: api-key}", "use: api-key}\n  - team")
    await node.apply(following)
    first = served(node).revision
    await node.apply(policy(team="red"))
    await node.apply(following.replace("hello", "second"))
    await node.send("POST", V1 + "/rollback", json={"with_policies": True})
    assert (served(node).revision, (await shown(node))["pins"], team(node)) == (first, {"team": 1}, "blue")
    await node.apply(following.replace("hello", "third"), canary="10%")
    assert (team(node), team(node, "shop@v1~canary")) == ("blue", "red"), "a canary follows, as it will once promoted"
    await node.send("POST", V1 + "/canary/promote", "publisher")
    assert ((await shown(node))["pins"], team(node)) == ({}, "red")
    told = (await node.send("POST", V1 + "/rollback")).json()
    assert (told["to"], told["pins"], team(node)) == (first, {"team": 1}, "blue"), "as it was"
    listed = (await node.send("GET", V1 + "/activations")).json()["items"]
    assert [each.get("pins") for each in listed][-3:] == [{"team": 1}, None, {"team": 1}]


def team(node: Bench, name: str = "shop@v1") -> str:
    for step in served(node, name).endpoints[0].steps:
        if step.use == "headers":
            return str(step.config["request"]["set"]["X-Team"])
    raise AssertionError
