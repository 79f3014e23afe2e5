"""Which version a request gets: by header, query, media type, date, pin and default (PROTOCOLS R4)."""

from __future__ import annotations

import orjson
import pytest

from gateway.core.findings import DocumentsRefused
from tests.live.live_harness import World

SHOP = """kind: ApiComponent
name: shop
version: {version}
default: {default}
released: {released}
base_path: /shop
select_by: [{ways}]
policies: [{{use: known}}]
backends: {{erp: {{http: {{targets: ["http://erp"]}}}}}}
operations: {{one: {{effect: safe, fixed: {version}, output: string}}}}
rest: {{GET /a: one, ANY /files/**: {{relay: erp}}}}
"""
RELEASED = {"v1": "2025-01-01", "v2": "2026-03-01", "v3": "2026-09-01"}


async def shop(ways: str, default: str = "v1") -> World:
    world = World()
    await world.serve(
        *(
            SHOP.format(version=version, default=str(version == default).lower(), released=date, ways=ways)
            for version, date in RELEASED.items()
        )
    )
    return world


async def chosen(world: World, target: str = "/shop/a", **headers: str) -> str:
    answer = await world.request("GET", target, **headers)
    told = orjson.loads(answer.body)
    return told if isinstance(told, str) else f"{answer.status} {told['code']}"


async def test_a_query_parameter_chooses_the_version() -> None:
    world = await shop("query")
    assert await chosen(world, "/shop/a?api-version=v2") == "v2"
    assert await chosen(world, "/shop/a?api%2Dversion=v3") == "v3"
    assert await chosen(world, "/shop/a") == "v1"
    assert await chosen(world, "/shop/a?api-version=v9") == "404 unknown_version"
    assert await chosen(world, "/shop/a?api-version=v1&api-version=v2") == "400 conflicting_versions"


async def test_the_query_parameter_is_not_the_endpoints() -> None:
    world = await shop("query")
    answer = await world.request("GET", "/shop/a?api-version=v2&other=1")
    assert answer.status == 400
    assert b"query.other" in answer.body
    assert b"query.api-version" not in answer.body


@pytest.mark.parametrize(
    ("accept", "version", "content_type"),
    [
        ("application/vnd.shop.v2+json", "v2", b"application/vnd.shop.v2+json"),
        ("application/json; version=2", "v2", b"application/json"),
        ('application/json;version="v3"', "v3", b"application/json"),
        ("application/vnd.shop.v1+json;q=0.5, application/vnd.shop.v3+json", "v3", b"application/vnd.shop.v3+json"),
        ("application/vnd.shop.v9+json, application/vnd.shop.v2+json;q=0.1", "v2", b"application/vnd.shop.v2+json"),
        ("application/vnd.shop.v2+json;q=0, */*", "v1", b"application/json"),
        ("application/vnd.other.v2+json, */*", "v1", b"application/json"),
        ("*/*", "v1", b"application/json"),
    ],
)
async def test_a_media_type_chooses_the_version_and_the_reply_says_it(
    accept: str, version: str, content_type: bytes
) -> None:
    world = await shop("media-type")
    answer = await world.request("GET", "/shop/a", Accept=accept)
    assert (answer.body, answer.get(b"content-type")) == (f'"{version}"'.encode(), content_type)


async def test_the_media_type_of_a_body_chooses_too_and_must_agree() -> None:
    world = await shop("media-type")
    body = "application/vnd.shop.v2+json"
    assert await chosen(world, Content_Type=body) == "v2"
    assert await chosen(world, Content_Type=body, Accept="application/vnd.shop.v3+json") == "400 conflicting_versions"


@pytest.mark.parametrize(
    ("date", "version"),
    [
        ("2026-05-20", "v2"),
        ("2026-03-01", "v2"),
        ("2026-02-28", "v1"),
        ("2030-01-01", "v3"),
        ("2024-12-31", "404 unknown_version"),
        ("2026-13-01", "404 unknown_version"),
        ("v2", "404 unknown_version"),
    ],
)
async def test_a_date_chooses_the_newest_version_that_was_released_then(date: str, version: str) -> None:
    assert await chosen(await shop("date"), Api_Version=date) == version


async def test_dates_stand_where_names_do() -> None:
    world = await shop("date, query, header")
    assert await chosen(world, "/shop/a?api-version=2026-05-20", Api_Version="v2") == "v2"
    assert await chosen(world, "/shop/a?api-version=2026-05-20", Api_Version="v3") == "400 conflicting_versions"


async def test_two_ways_that_name_two_versions_are_refused_with_both() -> None:
    world = await shop("header, query")
    answer = await world.request("GET", "/shop/a?api-version=v2", Api_Version="v1")
    problem = orjson.loads(answer.body)
    assert (answer.status, problem["code"], problem["versions"]) == (400, "conflicting_versions", ["v1", "v2", "v3"])
    assert "header Api-Version names v1" in problem["detail"]
    assert "query parameter api-version names v2" in problem["detail"]


async def test_an_applications_pin_chooses_where_the_request_names_nothing() -> None:
    world = await shop("header")
    assert await chosen(world, X_App="partner/v2") == "v2"
    assert await chosen(world, X_App="partner") == "v1"
    assert await chosen(world, X_App="partner/v2", Api_Version="v3") == "v3"


async def test_a_pin_to_a_version_that_is_gone_is_told() -> None:
    answer = await (await shop("header")).request("GET", "/shop/a", X_App="partner/v9")
    assert answer.status == 404
    assert b"pinned to the version v9" in answer.body
    assert b"v1, v2, v3" in answer.body


async def test_without_a_default_every_way_to_name_a_version_is_told() -> None:
    answer = await (await shop("header, query", default="")).request("GET", "/shop/a")
    assert answer.status == 404
    assert b"header Api-Version or query parameter api-version" in answer.body


@pytest.mark.parametrize(
    ("ways", "vary"),
    [
        ("header", [b"Api-Version, X-App"]),
        ("query", [b"X-App"]),
        ("media-type", [b"Accept, Content-Type, X-App"]),
        ("date", [b"Api-Version, X-App"]),
    ],
)
async def test_caches_are_told_on_which_fields_the_choice_depends(ways: str, vary: list[bytes]) -> None:
    """RFC 9110, section 12.5.5."""
    assert (await (await shop(ways)).request("GET", "/shop/a")).all(b"vary") == vary


async def test_a_version_that_its_path_names_varies_by_nothing() -> None:
    world = World()
    await world.serve(SHOP.format(version="v1", default="true", released="2025-01-01", ways="path"))
    assert (await world.request("GET", "/shop/a")).all(b"vary") == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (("released: 2025-01-01\n", ""), "no_release_date"),
        (("one: {effect: safe, ", "one: {effect: safe, input: {version: string}, "), "version_query_taken"),
    ],
)
async def test_a_way_that_cannot_work_is_refused_at_publish(change: tuple[str, str], code: str) -> None:
    text = SHOP.format(version="v1", default="true", released="2025-01-01", ways="date, query")
    text += "version_query: version\n"
    with pytest.raises(DocumentsRefused) as refused:
        await World().compile(text.replace(*change))
    assert [each.code for each in refused.value.findings] == [code]


@pytest.mark.parametrize(
    ("other", "hint"),
    [("header, query", "Give both the same select_by."), ("path", "Put {version} into base_path")],
)
async def test_versions_that_share_a_path_are_chosen_in_the_same_ways(other: str, hint: str) -> None:
    texts = [
        SHOP.format(version=version, default="false", released="2025-01-01", ways=ways)
        for version, ways in (("v1", "header"), ("v2", other))
    ]
    with pytest.raises(DocumentsRefused) as refused:
        await World().compile(*texts)
    assert hint in refused.value.findings[0].hint
