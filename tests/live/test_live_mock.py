"""`mock` in live versions: operations answered in every protocol, and backends that nobody asks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.core.memory_wire import Answer
from gateway.schema.json_codec import writer
from gateway.schema.json_schema import read_types
from gateway.schema.made_up import MadeUp
from gateway.schema.types import Ref
from tests.live.live_harness import World

SHOP = """
kind: ApiComponent
name: shop
version: v1
base_path: /shop
types:
  Order:
    type: object
    properties:
      id: {{type: integer}}
      state: {{type: string, enum: [open, paid]}}
      total: "decimal(12,2)?"
      lines: [Line]
    required: [id, state, lines]
    additionalProperties: false
  Line:
    type: object
    properties: {{sku: string}}
    required: [sku]
    additionalProperties: false
    example: {{sku: A-1}}
backends: {{erp: {{http: {{targets: ["http://erp.example"]}}}}}}
operations:
  get:
    effect: safe
    input: {{id: int64}}
    output: Order
    errors: {{NoOrder: {{status: 404, title: No such order}}}}
    http: {{backend: erp, request: "GET /x/{{id}}"}}
policies: [{{use: anonymous}}, {{use: mock, with: {mock}}}]
rest: {{"GET /orders/{{id}}": get}}
soap: {{namespace: "urn:shop", operations: [get]}}
odata: {{operations: [get]}}
"""
ENVELOPE = (
    b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>'
    b'<s:get xmlns:s="urn:shop"><s:id>1</s:id></s:get></e:Body></e:Envelope>'
)


async def world(mock: str = "{}") -> World:
    made = World()
    await made.serve(SHOP.format(mock=mock))
    return made


def value(answer: Answer) -> Any:
    return json.loads(answer.body)


async def test_rest_answers_what_is_made_up_of_the_type() -> None:
    shop = await world()
    answer = await shop.request("GET", "/shop/orders/1")
    assert (answer.status, value(answer)) == (200, {"id": 1, "state": "open", "total": "1", "lines": [{"sku": "A-1"}]})


async def test_an_example_of_the_step_comes_first() -> None:
    shop = await world("{examples: {get: {id: 7, state: paid, lines: []}}}")
    assert value(await shop.request("GET", "/shop/orders/1")) == {"id": 7, "state": "paid", "lines": []}


async def test_soap_and_odata_answer_the_same_in_their_own_form() -> None:
    shop = await world()
    soap = await shop.request("POST", "/shop/soap", ENVELOPE, Content_Type="text/xml", SOAPAction='""')
    assert soap.status == 200
    assert b"<sku>A-1</sku>" in soap.body.replace(b"tns:", b"").replace(b"ns0:", b"")
    odata = await shop.request("GET", "/shop/odata/get(id=1)")
    assert odata.status == 200
    assert value(odata)["lines"] == [{"sku": "A-1"}]


@pytest.mark.parametrize(
    ("prefer", "status", "code"),
    [
        ("status=404", 404, "NoOrder"),
        ('respond-async, code="404"; x', 404, "NoOrder"),
        ("status=410", 400, "bad_request"),
        ("status=200", 200, None),
        ("xstatus=404", 200, None),
    ],
)
async def test_a_client_may_ask_for_a_declared_error(prefer: str, status: int, code: str | None) -> None:
    answer = await (await world()).request("GET", "/shop/orders/1", Prefer=prefer)
    assert (answer.status, value(answer).get("code")) == (status, code)


async def test_requests_are_checked_before_a_mock_answers() -> None:
    assert (await (await world()).request("GET", "/shop/orders/x")).status == 400


async def test_an_example_that_does_not_fit_is_refused_when_it_is_built() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        await world("{examples: {get: {id: a}}}")


async def test_a_relay_cannot_be_mocked() -> None:
    with pytest.raises(ValueError, match="relays"):
        await World().serve(SHOP.format(mock="{}").replace("rest: {", 'rest: {"ANY /erp/**": {relay: erp}, '))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "format": "int32"},
        {"type": ["string", "null"]},
        {"type": "integer", "minimum": 10},
        {"type": "integer", "exclusiveMaximum": -5},
        {"type": "number", "minimum": 0.5, "maximum": 0.75},
        {"type": "string", "minLength": 20},
        {"type": "string", "maxLength": 2},
        {"type": "array", "items": {"type": "string", "format": "uuid"}, "minItems": 3},
        {"type": "string", "format": "date-time"},
        {"type": "string", "enum": ["b", "a"]},
        {"type": "object", "properties": {"next": {"$ref": "#/types/T"}}, "additionalProperties": False},
    ],
)
def test_what_is_made_up_fits_its_type(schema: Any) -> None:
    record = {"type": "object", "properties": {"v": schema}, "required": ["v"], "additionalProperties": False}
    types = read_types({"T": record} if not isinstance(schema, dict) or "properties" not in schema else {"T": schema})
    made = MadeUp(types, {}).canonical(Ref("T"), False)
    writer(Ref("T"), False, types)(made)


def test_a_pattern_asks_for_an_example() -> None:
    record = {"type": "object", "properties": {"v": {"type": "string", "pattern": "^[0-9]$"}}, "required": ["v"]}
    types = read_types({"T": record | {"additionalProperties": False}})
    with pytest.raises(ValueError, match="example"):
        MadeUp(types, {}).canonical(Ref("T"), False)
