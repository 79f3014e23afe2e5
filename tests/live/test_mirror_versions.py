"""Copies of requests to another version of the component, and to a canary."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from gateway.snapshot.compile import compile
from gateway.snapshot.spec import CanarySpec
from tests.live.live_harness import KINDS, World
from tests.relay.upstream_harness import until
from tests.snapshot.snapshot_harness import source

V1 = """kind: ApiComponent
name: shop
version: v1
base_path: /shop/{version}
policies: [{use: anonymous}, {use: mirror, with: {to: TO, unsafe: true}}]
operations: {one: {effect: safe, fixed: old, output: string}, two: {input: {n: int32}, fixed: two, output: string}}
rest: {GET /a/{x}: {call: one, input: {x: string}}, POST /two: two}
soap: {namespace: urn:shop, operations: [two]}
"""
V1 = V1.replace("{call: one, input: {x: string}}", "one").replace("GET /a/{x}", "GET /a")
V2 = V1.replace("version: v1", "version: v2").replace(
    "[{use: anonymous}, {use: mirror, with: {to: TO, unsafe: true}}]",
    "[{use: admit}, {use: note, with: {text: seen}}, {use: note-body, with: {text: body}}]",
)


async def counted(world: World, count: int = 1) -> dict[str, int]:
    def found() -> dict[str, int]:
        entries = world.mirrors.snapshot()
        return {what: times for each in entries for what, times in (each["statuses"] | each["dropped"]).items()}

    await until(lambda: sum(found().values()) >= count)
    return found()


async def test_a_version_gets_the_request_through_its_own_chain() -> None:
    world = World()
    await world.serve(V1.replace("TO", "v2"), V2)
    answer = await world.request("POST", "/shop/v1/two", b'{"n": 1}', Content_Type="application/json")
    assert (answer.status, answer.body) == (200, b'"two"')
    assert await counted(world) == {"200 200": 1}
    assert world.seen == ["seen", 'body body={"n": 1}', "after body 200", "after seen 200"]


async def test_a_soap_call_is_copied_too() -> None:
    world = World()
    await world.serve(V1.replace("TO", "v2"), V2)
    body = (
        b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><two xmlns="urn:shop"><n>1</n></two>'
        b"</e:Body></e:Envelope>"
    )
    answer = await world.request("POST", "/shop/v1/soap", body, Content_Type="text/xml", SOAPAction='""')
    assert answer.status == 200, answer.body
    assert await counted(world) == {"200 200": 1}
    assert world.seen[0] == "seen"


async def test_an_odata_request_is_copied_too() -> None:
    world = World()
    odata = "odata: {operations: [one]}\n"
    await world.serve(V1.replace("TO", "v2") + odata, V2 + odata)
    answer = await world.request("GET", "/shop/v1/odata/one()")
    assert answer.status == 200, answer.body
    assert await counted(world) == {"200 200": 1}
    assert world.seen[0] == "seen"


async def test_a_copy_says_so_and_what_a_client_says_of_copies_does_not_go_along() -> None:
    world = World()
    when = "when: {header: {X-Mirrored-From: shop@v1}}"
    marked = V2.replace("use: note, with: {text: seen}", f"use: note, with: {{text: seen}}, {when}")
    await world.serve(V1.replace("TO", "v2"), marked)
    assert (await world.request("GET", "/shop/v1/a", X_Mirrored_From="shop@v7")).status == 200
    assert await counted(world) == {"200 200": 1}
    assert world.seen[0] == "seen"


async def test_the_copies_of_a_version_that_was_retired_are_told_by_their_status() -> None:
    world = World()
    await world.serve(V1.replace("TO", "v2"), V2 + "lifecycle: {status: retired}\n")
    assert (await world.request("GET", "/shop/v1/a")).status == 200
    assert await counted(world) == {"200 410": 1}


async def test_a_version_that_is_not_there_and_a_path_that_it_lacks_are_counted() -> None:
    for to, documents in (("v9", (V2,)), ("v2", (V2.replace("GET /a", "GET /b"),))):
        world = World()
        await world.serve(V1.replace("TO", to), *documents)
        assert (await world.request("GET", "/shop/v1/a")).status == 200
        assert await counted(world) == {"not_found": 1}


async def test_a_canary_gets_copies_and_its_own_requests_are_not_copied() -> None:
    world = World()
    made = await source(V1.replace("TO", "canary"))
    new = await source(V1.replace("TO", "canary").replace("fixed: old", "fixed: new"))
    rule = CanarySpec(share=0, header="X-Canary")
    snapshot = compile(replace(made, canaries={"shop@v1": (new.bundles[0], rule)}), {}, KINDS, world.backend_kinds)
    world.swapper.swap(await world.swapper.prepare(snapshot))
    assert (await world.request("GET", "/shop/v1/a", X_Canary="yes")).body == b'"new"'
    assert (await world.request("GET", "/shop/v1/a")).body == b'"old"'
    assert await counted(world) == {"200 200": 1}


async def test_a_copy_keeps_the_router_until_it_is_over() -> None:
    slow = V2.replace("fixed: old", "input: {}, http: {backend: erp, request: GET /x}")
    slow += 'backends: {erp: {http: {targets: ["http://erp"]}}}\n'
    world = World()
    await world.serve(V1.replace("TO", "v2"), slow)
    before = world.swaps[-1]
    assert (await world.request("GET", "/shop/v1/a")).status == 200
    await asyncio.sleep(0)
    await world.serve(V1.replace("TO", "v2"))
    assert before.versions["shop@v2"].holders == 1, "its backends are open as long as a copy asks them"
    world.go.set()
    assert await counted(world) == {"200 500": 1}, "its value does not fit: an answer all the same"
