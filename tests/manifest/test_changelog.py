"""What became different, in words, by protocol."""

from __future__ import annotations

from gateway.manifest.bundle import Bundle
from gateway.manifest.changelog import changelog
from tests.snapshot.snapshot_harness import source

SHOP = """kind: ApiComponent
name: shop
version: v1
base_path: /shop/{version}
policies: [{use: anonymous}]
operations:
  one: {effect: safe, fixed: 1, output: int32}
  two: {effect: safe, fixed: 1, input: {a: int32?}, output: int32}
rest: {GET /one: one, GET /two: two}
soap: {namespace: "urn:shop", operations: [one]}
odata: {operations: [one]}
"""


async def bundle(text: str) -> Bundle:
    return (await source(text)).bundles[0]


async def told(changed: str) -> list[tuple[str, str, str]]:
    found = changelog(await bundle(SHOP), await bundle(changed))
    return [(each.protocol, each.change, each.what) for each in found]


async def test_nothing_is_told_of_what_stayed() -> None:
    assert await told(SHOP) == []


async def test_a_path_that_is_gone_breaks_rest_alone_while_its_operation_stays() -> None:
    found = await told(SHOP.replace("GET /one: one, ", ""))
    assert [(each[0], each[1]) for each in found] == [("rest", "breaking")]
    assert "GET /one is gone" in found[0][2]


async def test_a_namespace_breaks_soap_alone() -> None:
    assert [(each[0], each[1]) for each in await told(SHOP.replace("urn:shop", "urn:other"))] == [("soap", "breaking")]


async def test_what_is_new_is_told_where_it_is_offered() -> None:
    found = await told(SHOP.replace("odata: {operations: [one]}", "odata: {operations: [one, two]}"))
    assert found == [("odata", "added", "the operation two is new.")]


async def test_an_output_that_may_be_null_breaks_every_protocol_that_offers_it() -> None:
    found = await told(
        SHOP.replace("one: {effect: safe, fixed: 1, output: int32}", "one: {effect: safe, fixed: 1, output: int32?}")
    )
    assert {(each[0], each[1]) for each in found if each[1] == "breaking"} == {
        ("rest", "breaking"),
        ("soap", "breaking"),
        ("odata", "breaking"),
    }
