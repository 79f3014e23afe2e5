"""Writes that meet each other: If-Match (CASES M71), changes at the same moment, several nodes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.core.clock import SystemClock
from gateway.store.memory import MemoryStore
from gateway.store.store import POLICIES
from tests.admin.admin_harness import PLAN, TOPIC, YAML, Bench, bench, policy, problem, shop
from tests.admin.test_admin_routes import ROUTES, Filled, filled

__all__ = ["filled"]

DOCUMENTS = {"/policies/team": policy(), "/plans/gold": PLAN, "/topics/events": TOPIC}
CHANGED = {
    "/policies/team": policy(team="red"),
    "/plans/gold": PLAN.replace("10/1m", "20/1m"),
    "/topics/events": TOPIC.replace("integer", "string"),
}
PATHS = list(DOCUMENTS)


async def put(node: Bench, path: str, text: str, **headers: str) -> int:
    sent = YAML | {name.replace("_", "-"): value for name, value in headers.items()}
    return (await node.send("PUT", path, headers=sent, content=text)).status_code


@pytest.mark.parametrize("path", PATHS)
async def test_a_put_creates_and_replaces(node: Bench, path: str) -> None:
    assert await put(node, path, DOCUMENTS[path]) == 201
    assert await put(node, path, CHANGED[path]) == 200
    assert await put(node, path, CHANGED[path]) == 200


@pytest.mark.parametrize("path", PATHS)
async def test_the_etag_of_a_write_is_the_one_that_a_read_tells(node: Bench, path: str) -> None:
    written = await node.send("PUT", path, headers=YAML, content=DOCUMENTS[path])
    assert written.headers["etag"] == (await node.send("GET", path)).headers["etag"]


@pytest.mark.parametrize("path", PATHS)
async def test_a_stale_if_match_is_refused(node: Bench, path: str) -> None:
    """CASES M71: 412, and none is needed."""
    await put(node, path, DOCUMENTS[path])
    stale = (await node.send("GET", path)).headers["etag"]
    assert await put(node, path, CHANGED[path], If_Match=stale) == 200
    assert await put(node, path, DOCUMENTS[path], If_Match=stale) == 412
    problem(await node.send("DELETE", path, headers={"If-Match": stale}), 412)
    fresh = (await node.send("GET", path)).headers["etag"]
    assert (await node.send("DELETE", path, headers={"If-Match": fresh})).status_code == 200


@pytest.mark.parametrize(
    ("tags", "status"), [("*", 200), ('"9", {}', 200), ("W/{}", 412), ("nonsense", 412), ("", 412)]
)
async def test_if_match_is_read_as_http_says(node: Bench, tags: str, status: int) -> None:
    """RFC 9110, section 13.1.1: lists, any, strong comparison."""
    await put(node, "/policies/team", policy())
    etag = (await node.send("GET", "/policies/team")).headers["etag"]
    assert await put(node, "/policies/team", policy(team="red"), If_Match=tags.format(etag)) == status


async def test_if_match_on_what_is_not_there_is_refused(node: Bench) -> None:
    assert await put(node, "/policies/team", policy(), If_Match="*") == 412
    assert await put(node, "/policies/team", policy(), If_Match='"1"') == 412
    problem(await node.send("DELETE", "/policies/team", headers={"If-Match": "*"}), 404)


async def test_a_write_without_a_condition_is_refused(filled: Filled) -> None:
    """CASES M71: 428 for every route that replaces, changes or deletes; and nothing is written."""
    node, before = filled.node, await filled.node.store.sequence()
    routes = [route for route in ROUTES if route.split()[0] in {"PUT", "PATCH", "DELETE"}]
    assert len(routes) > 15
    for route in routes:
        told = problem(await filled.send(route, "admin", bare=True), 428)
        assert told["code"] == "precondition_required", route
    assert await node.store.sequence() == before


async def test_a_stale_condition_is_refused_by_every_route(filled: Filled) -> None:
    """CASES M71: 412, and nothing is written."""
    node, before = filled.node, await filled.node.store.sequence()
    for route in ROUTES:
        if route.split()[0] in {"PUT", "PATCH", "DELETE"}:
            problem(await filled.send(route, "admin", {"If-Match": '"1"'}), 412)
    assert await node.store.sequence() == before


async def test_what_is_read_tells_the_etag_that_a_write_takes(filled: Filled) -> None:
    """CASES M71."""
    for route in ROUTES:
        method, _, template = route.partition(" ")
        if method == "DELETE" and template.count("/") == template.strip("/").count("/") + 1 and "canary" not in route:
            if "lifecycle" in route:
                continue
            etag = (await filled.send(f"GET {template}", "admin")).headers["etag"]
            dry = await filled.node.send("DELETE", filled.path(route) + "?dry_run=true", headers={"If-Match": etag})
            assert dry.status_code in {200, 409}, (route, dry.text)


async def test_if_none_match_creates_only(node: Bench) -> None:
    assert await put(node, "/policies/team", policy(), If_None_Match="*") == 201
    assert await put(node, "/policies/team", policy(team="red"), If_None_Match="*") == 412


async def test_a_put_takes_the_document_of_its_name_alone(node: Bench) -> None:
    problem(await node.send("PUT", "/policies/other", headers=YAML, content=policy()), 400)
    problem(await node.send("PUT", "/policies/team", headers=YAML, content=PLAN), 400)
    problem(await node.send("PUT", "/policies/team", headers=YAML, content=policy() + "---\n" + PLAN), 400)


async def test_a_put_may_be_tried_dry(node: Bench) -> None:
    answer = await node.send("PUT", "/policies/team?dry_run=true", headers=YAML, content=policy())
    assert (answer.status_code, answer.json()["items"][0]["action"]) == (200, "create")
    problem(await node.send("GET", "/policies/team"), 404)


async def test_of_fifty_writes_on_one_version_one_wins(node: Bench) -> None:
    """CASES M71."""
    await put(node, "/policies/team", policy())
    etag = (await node.send("GET", "/policies/team")).headers["etag"]
    writes = [put(node, "/policies/team", policy(team=f"t{number}"), If_Match=etag) for number in range(50)]
    statuses = await asyncio.gather(*writes)
    assert sorted(statuses) == [200] + [412] * 49
    assert (await node.send("GET", "/policies/team")).json()["revision"] == 2


async def test_fifty_writes_that_take_any_version_lose_nothing(node: Bench) -> None:
    """Each becomes a revision of its own."""
    await put(node, "/policies/team", policy(team="t0"))
    writes = [put(node, "/policies/team", policy(team=f"t{number}"), If_Match="*") for number in range(1, 50)]
    assert await asyncio.gather(*writes) == [200] * 49
    told = (await node.send("GET", "/policies/team")).json()
    assert told["revision"] == 50
    teams = [steps[0]["with"]["request"]["set"]["X-Team"] for steps in told["revisions"].values()]
    assert sorted(teams) == sorted(f"t{number}" for number in range(50))


async def test_a_change_of_another_node_in_between_is_not_lost(node: Bench) -> None:
    """What was computed from an older state is computed again."""
    await put(node, "/policies/team", policy())
    record = await node.store.get(POLICIES, "team")
    faster = []

    async def between(writes: object) -> None:
        if not faster and any(write.table == POLICIES for write in writes):  # type: ignore[attr-defined]
            faster.append(1)
            from gateway.store.store import Write

            steps = record.value["revisions"]["1"]
            value = {**record.value, "revision": 2, "revisions": {"1": steps, "2": [*steps, *steps][:1]}, "by": "them"}
            await node.store.commit([Write(POLICIES, "team", value)])

    node.store.before_commit = between
    assert await put(node, "/policies/team", policy(team="red")) == 200
    told = (await node.send("GET", "/policies/team")).json()
    assert told["revision"] == 3


async def test_two_nodes_publish_on_both(tmp_path: Path) -> None:
    store, clock = MemoryStore(), SystemClock()
    async with bench(tmp_path, store, clock) as one:
        two = Bench(store, tmp_path, clock, "n2")
        await two.control.start()
        try:
            told = (await one.apply(shop())).json()
            assert told["live"] == ["n1", "n2"]
            assert two.control.served.hash == told["snapshot"]
            two.crew.wrong = "disk full"
            refused = problem(await one.apply(shop(text="bye")), 409)
            assert "n2" in refused["detail"]
            assert one.control.served.hash == two.control.served.hash == told["snapshot"]
        finally:
            await two.close()


async def test_a_rollback_reaches_a_node_that_never_held_the_revision(tmp_path: Path) -> None:
    store, clock = MemoryStore(), SystemClock()
    async with bench(tmp_path, store, clock) as one:
        await one.apply(shop())
        await one.apply(shop(text="bye"))
        two = Bench(store, tmp_path, clock, "n2")
        await two.control.start()
        try:
            answer = await one.send("POST", "/versions/shop@v1/rollback", json={})
            assert answer.json()["live"] == ["n1", "n2"]
            assert two.control.served.hash == one.control.served.hash
        finally:
            await two.close()
