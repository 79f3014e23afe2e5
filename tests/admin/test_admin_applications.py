"""Applications and subscriptions on the admin REST, and as documents."""

from __future__ import annotations

from typing import Any

import pytest

from tests.admin.admin_harness import PLAN, Bench, problem, shop

DEPRECATED = "lifecycle: {status: deprecated, since: 2026-01-01}\n"


def version(name: str, deprecated: bool = False) -> str:
    text = shop().replace("version: v1", f"version: {name}")
    return text.replace("operations:\n", f"{DEPRECATED if deprecated else ''}operations:\n", 1)


@pytest.fixture
async def partner(node: Bench) -> Bench:
    assert (await node.apply(shop(), PLAN, PLAN.replace("gold", "silver"))).status_code == 200
    made = {"name": "partner", "title": "Partner", "contacts": ["ops@partner.example"], "attributes": {"tier": "1"}}
    assert (await node.send("POST", "/applications", json=made)).status_code == 201
    return node


async def key(node: Bench) -> Any:
    made = await node.send("POST", "/keys", json={"application": "partner", "api": "shop", "plan": "gold"})
    assert made.status_code == 201, made.text
    return node.control.directory.find_id(made.json()["id"])


async def test_an_application_is_shown_with_everything_that_it_says(partner: Bench) -> None:
    shown = (await partner.send("GET", "/applications/partner")).json()
    assert shown["contacts"] == ["ops@partner.example"]
    assert (shown["attributes"], shown["status"], shown["owner"]) == ({"tier": "1"}, "active", "")


async def test_a_change_touches_what_it_names_alone(partner: Bench) -> None:
    body = {"owner": "me", "attributes": {"tier": None, "region": "eu"}}
    changed = (await partner.send("PATCH", "/applications/partner", json=body)).json()
    assert (changed["title"], changed["owner"]) == ("Partner", "me")
    assert changed["attributes"] == {"region": "eu"}


async def test_a_put_replaces_all_of_it(partner: Bench) -> None:
    answer = await partner.send("PUT", "/applications/partner", json={"owner": "me"})
    assert answer.status_code == 200
    assert (answer.json()["title"], answer.json()["attributes"]) == ("", {})
    assert (await partner.send("PUT", "/applications/other", json={})).status_code == 201


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_a_stale_if_match_changes_nothing(partner: Bench, method: str) -> None:
    """CASES M71."""
    tag = (await partner.send("GET", "/applications/partner")).headers["etag"]
    await partner.send("PATCH", "/applications/partner", json={"owner": "somebody"})
    body = {} if method == "DELETE" else {"json": {"owner": "me"}}
    problem(await partner.send(method, "/applications/partner", headers={"If-Match": tag}, **body), 412)
    now = await partner.send("GET", "/applications/partner")
    assert now.json()["owner"] == "somebody"
    held = await partner.send(method, "/applications/partner", headers={"If-Match": now.headers["etag"]}, **body)
    assert held.status_code == 200


async def test_suspending_closes_all_that_is_the_applications_and_activating_opens_it(partner: Bench) -> None:
    held, now = await key(partner), partner.clock.time()
    made = await partner.send("POST", "/credentials", json={"type": "basic", "application": "partner"})
    basic = partner.control.directory.credential_id(made.json()["id"])
    assert basic is not None
    await partner.send("PATCH", "/applications/partner", json={"status": "suspended"})
    assert (held.refusal(now), basic.refusal("shop", now)) == ("suspended", "suspended")
    assert partner.control.directory.subscription("partner", "shop") is None
    await partner.send("PATCH", "/applications/partner", json={"status": "active"})
    assert (held.refusal(now), basic.refusal("shop", now)) == (None, None)
    actions = [entry["action"] for entry in await partner.store.audit(3)]
    assert actions[:2] == ["application.activate", "application.suspend"]


async def test_applications_are_listed_by_status(partner: Bench) -> None:
    await partner.send("PUT", "/applications/other", json={"status": "suspended"})
    for query, names in (("", ["other", "partner"]), ("?status=suspended", ["other"]), ("?status=active", ["partner"])):
        items = (await partner.send("GET", f"/applications{query}")).json()["items"]
        assert sorted(each["name"] for each in items) == names


@pytest.mark.parametrize(
    ("body", "target"),
    [
        ({"status": "gone"}, "status"),
        ({"contacts": [" "]}, "contacts"),
        ({"contacts": [1]}, None),
        ({"attributes": {"a b": "c"}}, "attributes"),
        ({"attributes": {"a": 1}}, "attributes"),
        ({"created": 1}, "created"),
    ],
)
async def test_what_an_application_cannot_be_is_refused(partner: Bench, body: dict[str, Any], target: str) -> None:
    told = problem(await partner.send("PATCH", "/applications/partner", json=body), 400)
    assert target in (None, told.get("target"))


async def test_a_deleted_application_takes_everything_of_it_along(partner: Bench) -> None:
    await key(partner)
    await partner.send("POST", "/credentials", json={"type": "hmac", "application": "partner"})
    assert (await partner.send("DELETE", "/applications/partner")).status_code == 200
    for path in ("/keys", "/credentials", "/subscriptions", "/applications"):
        assert (await partner.send("GET", path)).json() == {"items": []}


# subscriptions


async def test_a_change_of_plan_takes_effect_for_all_keys_at_once(partner: Bench) -> None:
    keys = [await key(partner), await key(partner)]
    changed = await partner.send("PATCH", "/subscriptions/partner/shop", json={"plan": "silver"})
    assert changed.json()["plan"] == "silver"
    assert [each.plan for each in keys] == ["silver", "silver"]
    assert (await partner.send("PATCH", "/subscriptions/partner/shop", json={"plan": None})).json()["plan"] is None
    assert [each.plan for each in keys] == [None, None]


async def test_subscriptions_are_listed_by_application_api_and_plan(partner: Bench) -> None:
    await key(partner)
    for query, count in (("", 1), ("?plan=gold", 1), ("?plan=silver", 0), ("?api=other", 0), ("?application=x", 0)):
        assert len((await partner.send("GET", f"/subscriptions{query}")).json()["items"]) == count, query


async def test_a_subscription_pins_a_version(partner: Bench) -> None:
    held = await key(partner)
    await partner.send("PATCH", "/subscriptions/partner/shop", json={"version": "v1"})
    assert held.version == "v1"
    assert (await partner.send("GET", "/subscriptions/partner/shop")).json()["version"] == "v1"
    told = problem(await partner.send("PATCH", "/subscriptions/partner/shop", json={"version": "v9"}), 400)
    assert (told["target"], "v1" in told["detail"]) == ("version", True)


async def test_a_stale_if_match_moves_no_subscription(partner: Bench) -> None:
    await key(partner)
    tag = (await partner.send("GET", "/subscriptions/partner/shop")).headers["etag"]
    await partner.send("PATCH", "/subscriptions/partner/shop", json={"plan": "silver"})
    for method, body in (("PATCH", {"json": {"plan": "gold"}}), ("DELETE", {})):
        answer = await partner.send(method, "/subscriptions/partner/shop", headers={"If-Match": tag}, **body)
        problem(answer, 412)


async def test_an_api_that_is_deprecated_takes_nobody_new_and_keeps_who_is_there(partner: Bench) -> None:
    held = await key(partner)
    await partner.send("POST", "/applications", json={"name": "late"})
    assert (await partner.apply(version("v1", deprecated=True), force=True)).status_code == 200
    for path, body in (
        ("/subscriptions", {"application": "late", "api": "shop"}),
        ("/keys", {"application": "late", "api": "shop"}),
        ("/keys", {"application": "partner", "api": "shop"}),
        ("/credentials", {"application": "late", "api": "shop", "type": "basic"}),
    ):
        told = problem(await partner.send("POST", path, json=body), 409)
        assert (told["code"], "v1 is deprecated" in told["detail"]) == ("version_deprecated", True), path
    again = {"application": "partner", "api": "shop", "plan": "silver"}
    assert (await partner.send("POST", "/subscriptions", json=again)).status_code == 201
    assert (await partner.send("POST", f"/keys/{held.id}/rotate", json={})).status_code == 201
    assert held.refusal(partner.clock.time()) is None


async def test_a_live_version_that_is_deprecated_takes_nobody_new_either(partner: Bench) -> None:
    done = await partner.send("PUT", "/versions/shop@v1/lifecycle", json={"status": "deprecated"})
    assert done.status_code == 200, done.text
    body = {"application": "partner", "api": "shop"}
    assert problem(await partner.send("POST", "/subscriptions", json=body), 409)["code"] == "version_deprecated"
    (error,) = problem(await partner.apply(APPLICATION), 422)["errors"]
    assert error["code"] == "version_deprecated"
    assert (await partner.send("DELETE", "/versions/shop@v1/lifecycle")).status_code == 200
    assert (await partner.send("POST", "/subscriptions", json=body)).status_code == 201


async def test_one_version_that_is_published_is_enough_unless_another_is_pinned(partner: Bench) -> None:
    assert (await partner.apply(version("v1", deprecated=True), version("v2"), force=True)).status_code == 200
    body = {"application": "partner", "api": "shop"}
    problem(await partner.send("POST", "/subscriptions", json={**body, "version": "v1"}), 409)
    assert (await partner.send("POST", "/subscriptions", json={**body, "version": "v2"})).status_code == 201
    problem(await partner.send("PATCH", "/subscriptions/partner/shop", json={"version": "v1"}), 409)


# documents


APPLICATION = """\
kind: Application
name: partner
title: Partner
contacts: [ops@partner.example]
attributes: {tier: gold}
subscriptions:
  - {api: shop, plan: gold, version: v1}
"""


async def test_an_application_document_declares_the_same(partner: Bench) -> None:
    assert (await partner.apply(APPLICATION)).status_code == 200
    shown = (await partner.send("GET", "/applications/partner")).json()
    assert (shown["contacts"], shown["attributes"]) == (["ops@partner.example"], {"tier": "gold"})
    (tie,) = (await partner.send("GET", "/subscriptions")).json()["items"]
    assert (tie["plan"], tie["version"]) == ("gold", "v1")
    again = (await partner.apply(APPLICATION)).json()
    assert {item["action"] for item in again["items"]} == {"unchanged"}


async def test_a_document_without_a_status_opens_nothing_that_was_suspended(partner: Bench) -> None:
    await partner.send("PATCH", "/applications/partner", json={"status": "suspended"})
    await partner.apply(APPLICATION)
    assert (await partner.send("GET", "/applications/partner")).json()["status"] == "suspended"
    await partner.apply(f"{APPLICATION}status: active\n")
    assert (await partner.send("GET", "/applications/partner")).json()["status"] == "active"


async def test_a_document_subscribes_to_what_takes_consumers_alone(partner: Bench) -> None:
    unknown = APPLICATION.replace("version: v1", "version: v9")
    (error,) = problem(await partner.apply(unknown), 422)["errors"]
    assert (error["code"], ":7:" in error["target"]) == ("unknown_version", True)
    await partner.apply(version("v1", deprecated=True), force=True)
    (error,) = problem(await partner.apply(APPLICATION), 422)["errors"]
    assert error["code"] == "version_deprecated"
