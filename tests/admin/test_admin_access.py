"""Who may do what on the admin REST; `test_admin_routes` goes through every operation by every credential."""

from __future__ import annotations

import re

import pytest

from gateway.admin.access import ROLE_OF_KIND
from gateway.manifest.loading import MODELS
from tests.admin.admin_harness import PLAN, Bench, policy, problem, shop

ROLES = ("viewer", "publisher", "policy-editor", "operator")


async def test_another_scheme_is_refused(node: Bench) -> None:
    answer = await node.client.get("/admin/v1/versions", headers={"Authorization": "Basic YWRtaW46YWRtaW4="})
    problem(answer, 401)


async def test_a_revoked_token_stops_at_once(node: Bench) -> None:
    made = (await node.send("POST", "/tokens", json={"name": "ci", "roles": ["viewer"]})).json()
    assert (await node.send("GET", "/versions", made["token"])).status_code == 200
    assert (await node.send("DELETE", f"/tokens/{made['id']}")).status_code == 200
    problem(await node.send("GET", "/versions", made["token"]), 401)


async def test_a_token_bound_to_components_touches_no_other(node: Bench) -> None:
    """CASES M68: another tenant."""
    await node.apply(shop("shop"), shop("other"), PLAN, policy())
    revision = (await node.send("GET", "/versions/shop@v1")).json()["revision"]
    await node.send("POST", "/applications", json={"name": "partner"})
    key = (await node.send("POST", "/keys", json={"application": "partner", "api": "shop"})).json()
    credential = {"type": "hmac", "application": "partner", "api": "shop"}
    hmac = (await node.send("POST", "/credentials", json=credential)).json()
    mine = await node.token("viewer", "publisher", "policy-editor", "operator", components=["other"])
    for method, path, body in [
        ("GET", "/versions/shop@v1", None),
        ("DELETE", "/versions/shop@v1", None),
        ("POST", "/versions/shop@v1/rollback", {}),
        ("GET", f"/revisions/{revision}", None),
        ("GET", "/diff?from=other@v1&to=shop@v1", None),
        ("POST", "/keys", {"application": "partner", "api": "shop"}),
        ("POST", f"/keys/{key['id']}/rotate", {}),
        ("DELETE", f"/keys/{key['id']}", None),
        ("POST", "/credentials", credential),
        ("POST", "/credentials", {"type": "hmac", "application": "partner"}),
        ("GET", f"/credentials/{hmac['id']}", None),
        ("POST", f"/credentials/{hmac['id']}/rotate", {}),
        ("DELETE", f"/credentials/{hmac['id']}", None),
        ("POST", "/subscriptions", {"application": "partner", "api": "shop"}),
        ("GET", "/subscriptions/partner/shop", None),
        ("PATCH", "/subscriptions/partner/shop", {}),
        ("DELETE", "/subscriptions/partner/shop", None),
        ("POST", "/applications", {"name": "more"}),
        ("DELETE", "/policies/team", None),
        ("DELETE", "/plans/gold", None),
        ("GET", "/tokens", None),
    ]:
        problem(await node.send(method, path, mine, json=body), 403)
    problem(await node.apply(shop("shop", "bye"), token=mine), 403)


async def test_a_bound_token_sees_its_components_alone(node: Bench) -> None:
    """CASES M68: another tenant."""
    await node.apply(shop("shop"), shop("other"))
    await node.send("POST", "/applications", json={"name": "partner"})
    await node.send("POST", "/keys", json={"application": "partner", "api": "shop"})
    mine = await node.token("viewer", components=["other"])
    assert [each["name"] for each in (await node.send("GET", "/components", mine)).json()["items"]] == ["other"]
    assert [each["name"] for each in (await node.send("GET", "/versions", mine)).json()["items"]] == ["other@v1"]
    assert [each["name"] for each in (await node.send("GET", "/revisions", mine)).json()["items"]] == ["other@v1"]
    assert (await node.send("GET", "/keys", mine)).json()["items"] == []
    assert (await node.send("GET", "/subscriptions", mine)).json()["items"] == []
    assert "shop" not in (await node.send("GET", "/snapshot", mine)).text
    body = {"method": "GET", "url": "/shop/v1/greet/x"}
    assert (await node.send("POST", "/explain", mine, json=body)).json()["outcome"].startswith("404")


async def test_a_bound_token_acts_on_its_own_component(node: Bench) -> None:
    await node.apply(shop("shop"), shop("other"))
    await node.send("POST", "/applications", json={"name": "partner"})
    mine = await node.token("publisher", "operator", components=["other"])
    assert (await node.apply(shop("other", "bye"), token=mine)).status_code == 200
    made = await node.send("POST", "/keys", mine, json={"application": "partner", "api": "other"})
    assert made.status_code == 201
    assert (await node.send("DELETE", f"/keys/{made.json()['id']}", mine)).status_code == 200
    assert (await node.send("POST", "/versions/other@v1/rollback", mine, json={})).status_code == 200


@pytest.mark.parametrize("document", [shop(), policy(), PLAN])
async def test_applying_takes_the_role_of_each_document(node: Bench, document: str) -> None:
    kind = re.search(r"kind: (\w+)", document)
    assert kind is not None
    needed = ROLE_OF_KIND[kind[1]]
    for role in ROLES:
        answer = await node.apply(document, token=role)
        assert (answer.status_code == 200) is (role == needed), role


def test_every_kind_of_document_takes_a_role() -> None:
    assert ROLE_OF_KIND.keys() == MODELS.keys()


async def test_a_probe_without_a_token_is_told_no_more_than_ready(node: Bench) -> None:
    told = (await node.send("GET", "/health", None)).json()
    assert told == {"ready": True, "store": "up"}
    assert (await node.send("GET", "/health", "viewer")).json()["workers"] == 2
    problem(await node.send("GET", "/health", "pt_wrong"), 401)
