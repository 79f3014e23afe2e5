"""`openapi` before a relay: requests and replies against an included document, or the version's own."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.policy.openapi import OpenApi, check_document
from tests.policy.body_harness import Answered, Relaying, relaying, response, step
from tests.upstreams import always

DOCUMENT = """
openapi: 3.1.0
info: {title: Shop, version: "1"}
paths:
  /orders/{id}:
    parameters:
      - {$ref: "#/components/parameters/Id"}
    get:
      parameters:
        - {name: limit, in: query, schema: {type: integer, maximum: 10}}
        - {name: tag, in: query, schema: {type: array, items: {type: string, maxLength: 2}}}
        - {name: ids, in: query, explode: false, schema: {type: array, items: {type: integer}}}
        - {name: filter, in: query, style: deepObject, schema: {type: object, properties: {size: {type: integer}}}}
        - {name: X-Kind, in: header, required: true, schema: {enum: [big, small]}}
        - {name: seen, in: cookie, schema: {type: boolean}}
        - {name: sort, in: query, content: {application/json: {schema: {type: object, required: [by]}}}}
      responses:
        "200":
          description: The order.
          headers: {X-Total: {required: true, schema: {type: integer}}}
          content: {application/json: {schema: {$ref: "#/components/schemas/Order"}}}
        4XX: {description: A refusal.}
  /orders/mine:
    get: {responses: {default: {description: Whatever.}}}
  /orders:
    post:
      parameters: [{name: dry, in: query, schema: {type: boolean}}]
      requestBody:
        required: true
        content:
          application/json: {schema: {$ref: "#/components/schemas/Order"}}
          application/x-www-form-urlencoded: {schema: {$ref: "#/components/schemas/Order"}}
          text/*: {}
      responses: {default: {description: Whatever.}}
components:
  parameters:
    Id: {name: id, in: path, required: true, schema: {type: integer}}
  schemas:
    Order:
      type: object
      properties: {id: {type: integer}, lines: {type: array, items: {$ref: "#/components/schemas/Line"}}}
      required: [id]
    Line: {type: object, required: [sku]}
"""
GET = {"X_Kind": "big"}
TOTAL = "X-Total: 1"


def described(document: Any = DOCUMENT, **more: Any) -> Any:
    return step("openapi", {"document": document, "base_path": "/shop"} | more)


async def get(relay: Relaying, target: str, **fields: str) -> Answered:
    return await relay.request("GET", target=target, **(GET | fields))


@pytest.mark.parametrize(
    "target",
    [
        "/shop/orders/7",
        "/shop/orders/7?limit=10&tag=a&tag=bb&ids=1,2&filter[size]=3",
        "/shop/orders/7?sort=%7B%22by%22:1%7D&unknown=1",
        "/shop/orders/mine",
    ],
)
async def test_a_request_that_is_declared_goes_on_byte_for_byte(target: str) -> None:
    async with relaying(described()) as relay:
        assert (await get(relay, target, Cookie="seen=true")).status == 200
    assert relay.upstream.received[0].target == target.encode()


@pytest.mark.parametrize(
    ("target", "fields", "places"),
    [
        ("/shop/orders/seven", {}, ["path.id"]),
        ("/shop/orders/7?limit=11", {}, ["query.limit"]),
        ("/shop/orders/7?limit=1&limit=2", {}, ["query.limit"]),
        ("/shop/orders/7?limit=ten&ids=1,x&tag=a&tag=abc", {}, ["query.limit", "query.tag[1]", "query.ids[1]"]),
        ("/shop/orders/7?filter[size]=big", {}, ["query.filter.size"]),
        ("/shop/orders/7?sort=%7B%7D", {}, ["query.sort"]),
        ("/shop/orders/7?sort=%7B", {}, ["query.sort"]),
        ("/shop/orders/7", {"X_Kind": "huge", "Cookie": "seen=maybe"}, ["header.X-Kind", "cookie.seen"]),
    ],
)
async def test_parameters_that_do_not_fit_are_told_with_their_places(
    target: str, fields: dict[str, str], places: list[str]
) -> None:
    async with relaying(described()) as relay:
        answered = await get(relay, target, **fields)
    assert (answered.status, answered.places, relay.upstream.received) == (400, places, [])


async def test_a_required_header_that_is_missing_is_told() -> None:
    async with relaying(described()) as relay:
        answered = await relay.request("GET", target="/shop/orders/7")
    assert answered.places == ["header.X-Kind"]


async def test_what_the_document_does_not_have_is_refused_or_passes() -> None:
    async with relaying(described()) as relay:
        for target in ("/shop/other", "/shop/orders/7/lines", "/orders/7", "/shopping/orders/7", "/shop/orders/7/"):
            assert (await get(relay, target)).status == 404
        answered = await relay.request("DELETE", target="/shop/orders/7")
        assert (answered.status, answered.fields[b"allow"]) == (405, b"GET")
    async with relaying(described(undeclared_paths="pass")) as relay:
        assert (await get(relay, "/shop/other")).status == 200
    async with relaying(described(undeclared_query="refuse")) as relay:
        answered = await relay.request(target="/shop/orders?dry=true&more=1", body=b'{"id": 1}')
        assert answered.places == ["query.more"]


@pytest.mark.parametrize(
    ("body", "media_type", "status", "places"),
    [
        (b'{"id": 1}', "application/json", 200, []),
        (b'{"lines": [{}]}', "application/json; charset=utf-8", 400, ["$", "$.lines[0]"]),
        (b"id=1", "application/x-www-form-urlencoded", 200, []),
        (b"id=one", "application/x-www-form-urlencoded", 400, ["$.id"]),
        (b"anything", "text/plain", 200, []),
        (b"<a/>", "application/xml", 415, []),
        (b"", "application/json", 400, ["$"]),
        (b"&".join([b"a=1"] * 1001), "application/x-www-form-urlencoded", 400, ["$"]),
    ],
)
async def test_bodies_by_their_media_type(body: bytes, media_type: str, status: int, places: list[str]) -> None:
    async with relaying(described()) as relay:
        answered = await relay.request(target="/shop/orders", body=body, media_type=media_type)
    assert answered.status == status
    assert sorted(answered.places if status == 400 else []) == places


async def test_a_body_that_is_not_declared_is_refused() -> None:
    async with relaying(described()) as relay:
        assert (await relay.request("GET", b"{}", "/shop/orders/mine")).places == ["$"]


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (response(b'{"id": 1}', TOTAL), 200),
        (response(b'{"id": "1"}', TOTAL), 502),
        (response(b'{"id": 1}'), 502),
        (response(b"<a/>", TOTAL, media_type="text/xml"), 502),
        (response(b"{}", status="404 Not Found"), 404),
        (response(b"{}", status="302 Found"), 502),
    ],
)
async def test_replies_are_checked_where_that_is_asked_for(answer: bytes, status: int) -> None:
    async with relaying(described(responses=True), answering=always(answer)) as relay:
        assert (await get(relay, "/shop/orders/7")).status == status
    async with relaying(described(), answering=always(answer)) as relay:
        assert (await get(relay, "/shop/orders/7")).status == int(answer.split(b" ")[1])


async def test_in_report_mode_nothing_is_refused() -> None:
    async with relaying(described(mode="report", responses=True)) as relay:
        assert (await get(relay, "/shop/orders/x?limit=x")).status == 200
        assert (await get(relay, "/nowhere")).status == 200


async def test_without_a_document_the_versions_own_is_meant() -> None:
    own = {
        "openapi": "3.1.0",
        "servers": [{"url": "/shop/v2"}],
        "paths": {
            "/orders": {"post": {"requestBody": {"content": {"application/json": {"schema": {"type": "array"}}}}}}
        },
    }
    async with relaying(step("openapi"), openapi=own) as relay:
        assert (await relay.request(target="/shop/v2/orders", body=b"[]")).status == 200
        assert (await relay.request(target="/shop/v2/orders", body=b"{}")).status == 400
        assert (await relay.request(target="/orders", body=b"[]")).status == 404


async def test_openapi_30_has_its_own_words_for_null_and_bounds() -> None:
    schema = {"type": "integer", "nullable": True, "minimum": 1, "exclusiveMinimum": True}
    operation = {"requestBody": {"content": {"application/json": {"schema": schema}}}, "responses": {}}
    document = {"openapi": "3.0.3", "info": {}, "paths": {"/orders": {"post": operation}}}
    async with relaying(described(document)) as relay:
        for body, status in ((b"2", 200), (b"null", 200), (b"1", 400), (b'"2"', 400)):
            assert (await relay.request(target="/shop/orders", body=body)).status == status


def of_parameter(schema: Any) -> Any:
    parameters = [{"name": "a", "in": "query", "schema": schema}]
    return {"openapi": "3.1.0", "paths": {"/a": {"get": {"parameters": parameters}}}}


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"swagger": "2.0", "paths": {}}, "does not say its version"),
        ({"openapi": "4.0", "paths": {}}, "OpenAPI 3.0 and 3.1"),
        ({"openapi": "3.1.0", "paths": {"/a": {"$ref": "other.yaml#/a"}}}, "nothing is fetched"),
        ({"openapi": "3.1.0", "paths": {"/a": {"get": {"parameters": [{"name": "a"}]}}}}, "GET /a: the parameter at"),
        (
            {
                "openapi": "3.1.0",
                "paths": {"/a": {"get": {"parameters": [{"name": "a", "in": "query", "schema": {"$ref": "#/x"}}]}}},
            },
            "which is not in it",
        ),
        (
            {
                "openapi": "3.1.0",
                "paths": {
                    "/a": {"get": {"parameters": [{"name": "a", "in": "query", "schema": {"pattern": "(?=a)"}}]}}
                },
            },
            "no usable JSON Schema",
        ),
        ("{", "cannot be read"),
    ],
)
async def test_a_document_that_cannot_be_used_is_refused_when_it_is_built(document: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        async with relaying(described(document)):
            pass


def test_publishing_asks_whether_a_document_keeps_the_specifications_rules() -> None:
    check_document(OpenApi(document=DOCUMENT))
    with pytest.raises(ValueError, match="breaks OpenAPI at #/"):
        check_document(OpenApi(document={"openapi": "3.1.0", "paths": {}}))
