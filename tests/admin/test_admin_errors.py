"""What goes wrong on the admin REST: always problem details (RFC 9457), never more than a client may know."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from gateway.core.clock import SystemClock
from gateway.store.redis_store import RedisStore
from tests.admin.admin_harness import YAML, Bench, bench, policy, problem, shop


@pytest.mark.parametrize("path", ["/nothing", "", "/", "/policies/", "/versions/a/b/c", "/health/", "/../admin"])
async def test_what_is_not_there_is_a_404(node: Bench, path: str) -> None:
    assert problem(await node.send("GET", path), 404)["code"] == "not_found"


async def test_outside_of_the_prefix_is_a_404(node: Bench) -> None:
    told = problem(await node.client.get("/"), 404)
    assert "/admin/v1" in told["detail"]


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/policies/team", {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"}),
        ("/keys", {"GET", "HEAD", "POST", "OPTIONS"}),
        ("/health", {"GET", "HEAD", "OPTIONS"}),
        ("/apply", {"POST", "OPTIONS"}),
    ],
)
async def test_a_method_that_is_not_offered_is_a_405_naming_all_that_are(
    node: Bench, path: str, allow: set[str]
) -> None:
    answer = await node.send("PATCH", path)
    problem(answer, 405)
    assert set(answer.headers["allow"].split(", ")) == allow


async def test_head_is_answered_as_get(node: Bench) -> None:
    assert (await node.send("HEAD", "/versions")).status_code == 200
    assert (await node.send("HEAD", "/versions", None)).status_code == 401


BODIES = {
    "/applications": {"name": "partner"},
    "/subscriptions": {"application": "partner", "api": "shop"},
    "/keys": {"application": "partner", "api": "shop"},
    "/keys/{key}/rotate": {},
    "/tokens": {"name": "ci", "roles": ["viewer"]},
    "/explain": {"method": "GET", "url": "/"},
    "/versions/shop@v1/rollback": {},
}


@pytest.mark.parametrize("path", list(BODIES))
@pytest.mark.parametrize("member", ["admin", "digest", "revoked", "id", "__class__", "created"])
async def test_members_that_are_not_known_are_refused(node: Bench, path: str, member: str) -> None:
    """CASES M70: mass assignment."""
    await node.apply(shop())
    await node.send("POST", "/applications", json={"name": "partner"})
    key = (await node.send("POST", "/keys", json={"application": "partner", "api": "shop"})).json()["id"]
    before = await node.store.sequence()
    told = problem(await node.send("POST", path.format(key=key), json=BODIES[path] | {member: True}), 400)
    assert told["target"] == member
    assert await node.store.sequence() == before


@pytest.mark.parametrize("body", ["{", "[]", "7", '"x"', "null", "{}", '{"name": 7}', '{"name": null}', '{"name": ""}'])
async def test_wrong_bodies_are_told_what_is_wrong(node: Bench, body: str) -> None:
    headers = {"Content-Type": "application/json"}
    told = problem(await node.send("POST", "/applications", content=body, headers=headers), 400)
    assert told["detail"]


@pytest.mark.parametrize(
    ("path", "body", "target"),
    [
        ("/tokens", {"name": "ci", "roles": [1]}, "roles"),
        ("/tokens", {"name": "ci", "roles": "viewer"}, "roles"),
        ("/tokens", {"name": "ci", "roles": []}, "roles"),
        ("/tokens", {"name": "ci", "roles": ["root"]}, "roles"),
        ("/tokens", {"name": " ", "roles": ["viewer"]}, "name"),
        ("/tokens", {"name": "ci", "roles": ["viewer"], "components": [7]}, "components"),
        ("/tokens", {"name": "ci", "roles": ["viewer"], "ends": "tomorrow"}, "ends"),
        ("/tokens", {"name": "ci", "roles": ["viewer"], "ends": 7}, "ends"),
        ("/keys", {"application": "partner", "api": "nix"}, "api"),
        ("/keys", {"application": "partner", "api": "shop", "plan": "nix"}, "plan"),
        ("/keys", {"application": "partner", "api": "shop", "starts": "2027-02-01", "ends": "2027-01-01"}, "ends"),
        ("/explain", {"method": "GET", "url": "/", "headers": {"a": 1}}, "headers"),
        ("/explain", {"method": "GET", "url": 7}, "url"),
        ("/explain", {"method": "GET", "url": "http://[x/"}, "url"),
    ],
)
async def test_a_wrong_value_is_named(node: Bench, path: str, body: dict[str, Any], target: str) -> None:
    await node.apply(shop())
    await node.send("POST", "/applications", json={"name": "partner"})
    assert problem(await node.send("POST", path, json=body), 400)["target"] == target


@pytest.mark.parametrize("overlap", [True, -1, "1", 1.5])
async def test_an_overlap_is_a_whole_number_of_seconds(node: Bench, overlap: Any) -> None:
    await node.apply(shop())
    await node.send("POST", "/applications", json={"name": "partner"})
    key = (await node.send("POST", "/keys", json={"application": "partner", "api": "shop"})).json()["id"]
    problem(await node.send("POST", f"/keys/{key}/rotate", json={"overlap": overlap}), 400)


async def test_json_is_sent_as_json(node: Bench) -> None:
    told = problem(await node.send("POST", "/applications", content='{"name": "a"}', headers=YAML), 415)
    assert "application/json" in told["detail"]


async def test_a_page_of_another_site_gets_nothing_done(node: Bench) -> None:
    """CASES M69: no cookie counts, no form is taken, no other origin is let in."""
    origin = {"Origin": "https://evil.example"}
    preflight = origin | {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    for answer in (
        await node.send("OPTIONS", "/applications", None, preflight),
        await node.send("POST", "/applications", None, origin | {"Cookie": f"token={node.tokens['admin']}"}),
        await node.send("POST", "/applications", "admin", origin, data={"name": "partner"}),
    ):
        assert answer.status_code in {204, 401, 415}
        assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=²", "limit=" + "9" * 5000, "before=x", "before=-1"])
async def test_a_wrong_page_is_refused(node: Bench, query: str) -> None:
    problem(await node.send("GET", f"/audit?{query}"), 400)


async def test_the_audit_is_read_page_by_page(node: Bench) -> None:
    for number in range(7):
        await node.send("POST", "/applications", json={"name": f"a{number}"})
    path, seen = "/audit?limit=3", []
    while path:
        answer = await node.send("GET", path)
        seen += [entry["sequence"] for entry in answer.json()["items"]]
        link = answer.links.get("next")
        path = link["url"].removeprefix("/admin/v1") if link else ""
    assert len(seen) == len(set(seen)) == len(await node.store.audit(1000))
    assert seen == sorted(seen, reverse=True)


async def test_while_the_store_is_away_nothing_is_decided(node: Bench) -> None:
    """Who asks cannot be known: 503, and no 401, and nothing is let through."""
    node.store.away = True
    for method, path in [("GET", "/versions"), ("POST", "/apply"), ("DELETE", "/keys/x"), ("GET", "/audit")]:
        assert problem(await node.send(method, path), 503)["code"] == "store_unavailable"
    health = await node.send("GET", "/health")
    assert (health.status_code, health.json()["ready"]) == (200, True)
    assert health.json()["store"] != "up"
    node.store.away = False
    assert (await node.send("GET", "/versions")).status_code == 200


async def test_a_store_that_goes_away_in_a_write_is_a_503(node: Bench) -> None:
    async def away(_writes: object) -> None:
        node.store.away = True

    node.store.before_commit = away
    problem(await node.send("POST", "/applications", json={"name": "partner"}), 503)


async def test_a_failure_has_an_id_that_the_log_has_too(node: Bench, caplog: pytest.LogCaptureFixture) -> None:
    async def broken(_writes: object) -> None:
        raise RuntimeError("a bug with planted-text in /some/file.py")

    node.store.before_commit = broken
    with caplog.at_level(logging.ERROR, "gateway.admin"):
        answer = await node.send("POST", "/applications", json={"name": "partner"})
    told = problem(answer, 500)
    assert "planted-text" not in answer.text
    assert "Traceback" not in answer.text
    assert told["id"] in caplog.text
    assert "planted-text" in caplog.text


async def test_the_same_holds_on_a_real_store(tmp_path: Path, valkey: str, prefix: str) -> None:
    store = RedisStore(valkey, prefix, SystemClock())
    async with bench(tmp_path, store, SystemClock()) as node:
        told = (await node.apply(shop(), policy())).json()
        assert told["live"] == ["n1"]
        etag = (await node.send("GET", "/policies/team")).headers["etag"]
        again = YAML | {"If-Match": etag}
        body = policy(team="red")
        assert (await node.send("PUT", "/policies/team", headers=again, content=body)).status_code == 200
        problem(await node.send("PUT", "/policies/team", headers=again, content=body), 412)
    await store.close()
