"""Swapping snapshots: what did not change goes on, what was replaced is closed after its last exchange."""

from __future__ import annotations

import asyncio

import pytest

from tests.live.live_harness import World


def component(name: str, target: str = "http://one", operation: str = "fixed: 1, output: int32") -> str:
    return (
        f"kind: ApiComponent\nname: {name}\nversion: v1\nbase_path: /{name}\n"
        f"operations: {{get: {{effect: safe, {operation}}}}}\n"
        f"backends: {{erp: {{http: {{targets: ['{target}']}}}}}}\n"
        "policies: [{use: anonymous}]\n"
        "rest: {GET /get: get, ANY /erp/**: {relay: erp}}\n"
    )


PLAN = "kind: Plan\nname: gold\npolicies: []\n"


async def settled() -> None:
    """Closing runs as a task of its own."""
    for _ in range(5):
        await asyncio.sleep(0)


def closed(world: World) -> list[bool]:
    return [connection.closed for connection in world.opened]


async def test_a_version_that_did_not_change_is_taken_over_with_its_connections() -> None:
    world = World()
    await world.serve(component("a"), component("b"))
    before = dict(world.swaps[-1].versions)
    await world.serve(component("a"), component("b", "http://two"))
    after = world.swaps[-1].versions
    assert after["a@v1"] is before["a@v1"]
    assert after["b@v1"] is not before["b@v1"]
    await settled()
    assert [(each.url, each.closed) for each in world.opened] == [
        ("http://one", False), ("http://one", True), ("http://two", False)
    ]  # fmt: skip
    assert (await world.request("GET", "/a/erp/x")).status == 200
    assert (await world.request("GET", "/b/erp/x")).get(b"x-upstream") == b"http://two"


async def test_a_changed_plan_builds_every_version_again() -> None:
    """Its steps are part of all their chains."""
    world = World()
    await world.serve(component("a"))
    await world.serve(component("a"), PLAN)
    await settled()
    assert closed(world) == [True, False]
    assert (await world.request("GET", "/a/erp/x")).status == 200


async def test_a_removed_version_is_closed_and_no_longer_found() -> None:
    world = World()
    await world.serve(component("a"), component("b"))
    await world.serve(component("a"))
    await settled()
    assert closed(world) == [False, True]
    assert (await world.request("GET", "/b/get")).status == 404


async def test_an_exchange_in_flight_ends_on_what_it_began_with() -> None:
    """The old one is closed after the last exchange, not before."""
    world = World()
    await world.serve(component("a"))
    held = world.swaps[-1].router
    held.enter()  # an exchange that has not ended
    await world.serve(component("a", "http://two"))
    await settled()
    assert closed(world) == [False, False]
    assert (await world.request("GET", "/a/erp/x")).get(b"x-upstream") == b"http://two"
    held.leave()
    await settled()
    assert closed(world) == [True, False]


async def test_each_old_router_drains_by_itself() -> None:
    """A version that two of them hold is closed after both."""
    world = World()
    await world.serve(component("a"))
    first = world.swaps[-1].router
    first.enter()
    await world.serve(component("a"), component("b"))
    second = world.swaps[-1].router
    second.enter()
    await world.serve(component("b", "http://two"))
    first.leave()
    await settled()
    assert closed(world) == [False, False, False]
    second.leave()
    await settled()
    assert closed(world) == [True, True, False]


async def test_a_build_that_fails_closes_what_it_opened_and_changes_nothing() -> None:
    world = World()
    await world.serve(component("a"))
    broken = await world.compile(component("a"), component("b", "http://two"), component("c", "http://broken"))
    with pytest.raises(ValueError, match="cannot be opened"):
        await world.swapper.prepare(broken)
    assert [(each.url, each.closed) for each in world.opened] == [("http://one", False), ("http://two", True)]
    assert (await world.request("GET", "/a/erp/x")).status == 200


async def test_a_version_with_several_backends_closes_those_that_opened_before_one_failed() -> None:
    world = World()
    two = component("a").replace("backends: {erp:", "backends: {first: {http: {targets: ['http://first']}}, erp:")
    broken = await world.compile(two.replace("http://one", "http://broken"))
    with pytest.raises(ValueError, match="cannot be opened"):
        await world.swapper.prepare(broken)
    assert [(each.url, each.closed) for each in world.opened] == [("http://first", True)]


async def test_what_was_prepared_and_not_wanted_is_released_whole() -> None:
    world = World()
    await world.serve(component("a"))
    prepared = await world.swapper.prepare(await world.compile(component("a"), component("b", "http://two")))
    await prepared.release()
    assert closed(world) == [False, True]
    await world.serve(component("a"))
    await settled()
    assert closed(world) == [False, True]
    await world.swapper.close()
    assert closed(world) == [True, True]


async def test_closing_the_swapper_closes_what_runs_and_waits_for_what_drains() -> None:
    world = World()
    await world.serve(component("a"))
    await world.serve(component("a", "http://two"))
    await world.swapper.close()
    assert closed(world) == [True, True]
    assert world.swapper.current is None


async def test_the_last_exchange_closes_what_it_ran_on() -> None:
    """An exchange that waits for its backend holds the router that it came by."""
    world = World()
    held = "http: {backend: erp, request: GET /x}, input: {}, output: int32?"
    await world.serve(component("a", operation=held))
    answer = asyncio.ensure_future(world.request("GET", "/a/get"))
    await settled()
    await world.serve(component("a", "http://two"))
    await settled()
    assert closed(world) == [False, False]
    world.go.set()
    assert (await answer).status == 200
    await settled()
    assert closed(world) == [True, False]
