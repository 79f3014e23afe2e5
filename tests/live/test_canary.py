"""Two revisions of one version: who gets which."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from gateway.core.exchange import Head, Peer
from gateway.core.kinds import Caller, Presented
from gateway.live.choosing import goer
from gateway.snapshot.compile import compile
from gateway.snapshot.spec import CanarySpec
from tests.live.live_harness import KINDS, World
from tests.snapshot.snapshot_harness import source

SHOP = """kind: ApiComponent
name: shop
version: v1
base_path: /shop/{version}
policies: [{use: known}]
operations: {one: {effect: safe, fixed: TEXT, output: string}}
rest: {GET /a: one}
"""


async def served(**rule: object) -> World:
    world = World()
    made = await source(SHOP.replace("TEXT", "old"))
    new = await source(SHOP.replace("TEXT", "new").replace("GET /a: one", "GET /a: one, GET /b: one"))
    canaries = {"shop@v1": (new.bundles[0], CanarySpec.model_validate(rule))}
    snapshot = compile(replace(made, canaries=canaries), {}, KINDS, world.backend_kinds)
    world.swapper.swap(await world.swapper.prepare(snapshot))
    return world


async def got(world: World, path: str = "/a", **headers: str) -> str:
    answer = await world.request("GET", f"/shop/v1{path}", **headers)
    return str(orjson.loads(answer.body)) if answer.status == 200 else str(answer.status)


async def test_a_share_of_nothing_sends_nobody_and_one_of_everything_everybody() -> None:
    for share, text in ((0, "old"), (1, "new")):
        assert await got(await served(share=share)) == text


async def test_of_single_requests_the_share_is_exact() -> None:
    world = await served(share=0.25, sticky="request")
    found = [await got(world) for _ in range(200)]
    assert found.count("new") == 50
    assert found[:8].count("new") == 2, "and evenly spread"


async def test_an_application_stays_with_what_it_got_and_a_greater_share_takes_in_more() -> None:
    names = [f"app-{number}" for number in range(200)]
    small, large = await served(share=0.2), await served(share=0.6)
    first = {name for name in names if await got(small, X_App=name) == "new"}
    assert first == {name for name in names if await got(small, X_App=name) == "new"}
    second = {name for name in names if await got(large, X_App=name) == "new"}
    assert first < second
    assert (20 < len(first) < 60, 90 < len(second) < 150) == (True, True)


async def test_a_header_asks_for_the_canary_whatever_the_share() -> None:
    world = await served(share=0, header="X-Canary")
    assert (await got(world, X_Canary="anything"), await got(world)) == ("new", "old")
    world = await served(share=1, header="X-Canary", value="yes")
    assert (await got(world, X_Canary="yes"), await got(world, X_Canary="no")) == ("new", "old")


async def test_listed_applications_get_the_canary() -> None:
    world = await served(share=0, applications=["partner"])
    assert (await got(world, X_App="partner"), await got(world, X_App="other"), await got(world)) == (
        "new",
        "old",
        "old",
    )


async def test_a_canary_has_its_own_urls() -> None:
    world = await served(share=0, header="X-Canary")
    assert (await got(world, "/b", X_Canary="1"), await got(world, "/b")) == ("new", "404")


async def test_both_revisions_are_told_apart_in_facts() -> None:
    world = await served(share=0, header="X-Canary")
    seen = []
    world.live.observe = lambda exchange: seen.append(exchange.chain.facts["revision"])
    for headers in ({}, {"X_Canary": "1"}):
        await got(world, **headers)
    revisions = {each.spec.name: each.spec.revision for each in world.swapper.current.versions.values()}  # type: ignore[union-attr]
    assert seen == [revisions["shop@v1"], revisions["shop@v1~canary"]]


@pytest.mark.parametrize("sticky", ["client", "application"])
def test_clients_are_shared_out_by_their_address_where_no_application_is_known(sticky: str) -> None:
    rule = CanarySpec.model_validate({"share": 0.5, "sticky": sticky})
    goes = goer(rule, "shop@v1", (Presented(lambda _head: None),))
    heads = [Head(b"GET", b"/", peer=Peer(client=f"10.0.0.{number}")) for number in range(200)]
    found = [goes(head) for head in heads]
    assert found == [goes(head) for head in heads]
    assert 70 < sum(found) < 130


def test_sticky_clients_ask_nobody_for_the_application() -> None:
    def never(_head: Head) -> Caller | None:
        raise AssertionError("a look-up that nothing needs")

    rule = CanarySpec(share=0.5, sticky="client")
    goer(rule, "shop@v1", (Presented(never),))(Head(b"GET", b"/"))
