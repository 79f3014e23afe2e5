"""`json-schema` before a relay: requests and replies against schemas of the configuration, of files, of the types."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.policy.body_harness import relaying, response, step
from tests.upstreams import always

ORDER = {
    "type": "object",
    "properties": {
        "id": {"type": "integer", "minimum": 1},
        "mail": {"type": "string", "format": "email"},
        "lines": {"type": "array", "items": {"type": "object", "required": ["sku"]}},
    },
    "required": ["id"],
    "additionalProperties": False,
}
TYPES = {
    "components": {
        "schemas": {"Order": ORDER, "Orders": {"type": "array", "items": {"$ref": "#/components/schemas/Order"}}}
    }
}


def requests(schema: Any = ORDER, **more: Any) -> Any:
    return step("json-schema", {"request": {"schema": schema, **more}})


async def test_a_body_that_fits_goes_on_untouched() -> None:
    async with relaying(requests()) as relay:
        assert (await relay.request(body=b'{"id":1 }')).status == 200
    assert relay.upstream.received[0].body == b'{"id":1 }'


async def test_every_place_that_does_not_fit_is_told_and_no_value() -> None:
    body = b'{"id": 0, "mail": "hush hush", "lines": [{"sku": 1}, {}], "more": 1}'
    async with relaying(requests()) as relay:
        answered = await relay.request(body=body)
    assert (answered.status, relay.upstream.received) == (400, [])
    assert sorted(answered.places) == ["$", "$.id", "$.lines[1]", "$.mail"]
    assert b"hush" not in answered.body


async def test_the_places_that_are_told_are_bounded() -> None:
    async with relaying(requests({"items": False})) as relay:
        answered = await relay.request(body=json.dumps([0] * 10_000).encode())
    assert (answered.status, len(answered.places)) == (400, 50)


@pytest.mark.parametrize(
    "body", [b"{", b'{"id":1,"id":2}', b'{"id":NaN}', b'{"id":' + b"1" * 5000 + b"}", b"[" * 100_000, b'"\\ud800"']
)
async def test_what_parsers_read_differently_is_refused_before_the_schema(body: bytes) -> None:
    """CASES B54"""
    async with relaying(step("message-size", {"limit": "1MB"}), requests(True)) as relay:
        assert (await relay.request(body=body)).status == 400
    assert relay.upstream.received == []


async def test_a_missing_body_is_refused_of_methods_that_send_one() -> None:
    async with relaying(requests()) as relay:
        assert (await relay.request("POST")).places == ["$"]
        assert (await relay.request("GET")).status == 200
    async with relaying(requests(required=False)) as relay:
        assert (await relay.request("POST")).status == 200
    async with relaying(requests(required=True)) as relay:
        assert (await relay.request("GET")).status == 400


async def test_a_schema_may_stand_in_a_file_and_name_the_components_types() -> None:
    text = 'type: array\nitems: {$ref: "#/types/Order"}\n'
    for schema in (text, json.dumps({"$ref": "#/types/Orders"}), {"$ref": "#/types/Orders"}):
        async with relaying(requests(schema), openapi=TYPES) as relay:
            assert (await relay.request(body=b'[{"id": 1}]')).status == 200
            assert (await relay.request(body=b'[{"id": 0}]')).places == ["$[0].id"]


async def test_a_reply_that_does_not_fit_is_502() -> None:
    config = {"response": {"schema": ORDER}}
    for body, status in ((b'{"id": 1}', 200), (b'{"id": 0}', 502), (b"{", 502), (b"", 502)):
        async with relaying(step("json-schema", config), answering=always(response(body))) as relay:
            assert (await relay.request("GET")).status == status


@pytest.mark.parametrize(("other", "status"), [("refuse", 502), ("pass", 200)])
async def test_a_reply_of_another_media_type_is_wrong_unless_it_may_pass(other: str, status: int) -> None:
    config = {"response": {"schema": ORDER, "other_types": other}}
    answering = always(response(b"<p/>", media_type="text/html"))
    async with relaying(step("json-schema", config), answering=answering) as relay:
        assert (await relay.request("GET")).status == status


async def test_a_large_body_is_read_off_the_loop() -> None:
    lines = json.dumps({"id": 1, "lines": [{"sku": "a"}] * 6000 + [{}]}).encode()
    async with relaying(requests()) as relay:
        answered = await relay.request(body=lines)
    assert answered.places == ["$.lines[6000]"]


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"$ref": "https://example.com/order.json"}, "nothing is fetched"),
        ({"$ref": "#/types/Missing"}, "Missing"),
        ({"pattern": "(?=a)b"}, "no usable JSON Schema"),
        ({"type": "strng"}, "no usable JSON Schema"),
        ("type: [", "cannot be read at line"),
        ("a: 1\n---\nb: 2\n", "2 documents"),
        ("7", "a map, true or false"),
    ],
)
async def test_a_schema_that_cannot_be_used_is_refused_when_it_is_built(schema: Any, told: str) -> None:
    """CASES B56 for the pattern."""
    with pytest.raises(ValueError, match=told):
        async with relaying(requests(schema)):
            pass
