"""What a new revision breaks for those who use the old one, and what it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.manifest.bundle import Bundle
from gateway.manifest.compatibility import breaking
from gateway.manifest.loading import load_text
from gateway.manifest.resolve import resolve

BASE = """
kind: ApiComponent
name: shop
version: v1
base_path: /shop/{version}
select_by: [path, query, header, date]
released: 2026-03-01
types:
  Order:
    type: object
    properties: {id: int64, note: string?, state: {enum: [new, paid]}, lines: "[Line]"}
    required: [id, state]
  Line: {type: object, properties: {sku: string(20)}, required: [sku]}
operations:
  get_order: {fixed: {}, input: {id: int64, day: date?}, output: Order}
  save_order: {fixed: {}, effect: writing, input: {order: Order}, output: string, errors: {Full: {status: 409}}}
  inner: {fixed: 1, output: int32}
  quiet: {fixed: {}, effect: writing, output: null}
  list: {fixed: [], input: {}, output: "[Order]"}
  parts: {fixed: [], input: {}, output: "[Line]"}
rest:
  GET /orders/{id}: get_order
  POST /orders: {call: save_order, body: order, status: 201}
  POST /quiet: quiet
soap: {namespace: "urn:shop:v1", operations: [get_order]}
odata:
  operations: [get_order]
  entity_sets:
    Orders: {call: list, key: [id], navigation: {lines: {to: Lines, many: true}}}
    Lines: {call: parts, key: [sku]}
"""


async def no_table(_url: str, table: str) -> Any:
    raise LookupError(table)


async def bundle(*edits: tuple[str, str]) -> Bundle:
    text = BASE
    for before, after in edits:
        assert before in text
        text = text.replace(before, after)
    (only,) = await resolve(
        load_text(text, "shop.yaml"),
        folder=Path(),
        contracts={},
        parents=lambda _component, _version: None,
        policies={},
        reflect=no_table,
        values={},
    )
    return only


BREAKING = [
    ("base_path: /shop/", "base_path: /shop2/", "the base path was /shop/{version}"),
    ("  GET /orders/{id}: get_order\n", "", "the endpoint GET /orders/{id} is gone"),
    ("GET /orders/{id}", "POST /orders/{id}", "the endpoint GET /orders/{id} is gone"),
    ("day: date?", "day: date?, x: string", "x in the input of get_order is new and required"),
    ("day: date?", "day: date", "day in the input of get_order may no longer be null"),
    (", day: date?", "", "day in the input of get_order is refused now"),
    ("id: int64, day", "id: string, day", "id in the input of get_order is string now, no longer int64"),
    ("[new, paid]", "[new]", "order.state in the input of save_order no longer takes paid"),
    ("[new, paid]", "[new, paid, late]", "state in the output of get_order may be late now"),
    ("string(20)", "string(10)", "order.lines[].sku in the input of save_order has max length 10 now, not 20"),
    ("note: string?, ", "", "note in the output of get_order is gone"),
    ("required: [id, state]", "required: [state]", "id in the output of get_order may be absent now"),
    ("{id: int64, note", "{id: int64?, note", "id in the output of get_order may be null now"),
    ("output: string,", "output: string?,", "the output of save_order may be null now"),
    ("output: string,", "output: null,", "save_order answers nothing any more"),
    ('lines: "[Line]"', "lines: Line", "lines in the output of get_order is an object now, no longer a list"),
    ("status: 409", "status: 410", "save_order answers Full with 410 now"),
    ("status: 201", "status: 200", "status of POST /orders was 201"),
    ("body: order, ", "", "body of POST /orders was order"),
    ("urn:shop:v1", "urn:shop:v2", "the SOAP namespace was urn:shop:v1"),
    ("operations: [get_order]}\nodata", "operations: [save_order]}\nodata", "the SOAP operation get_order is gone"),
    (BASE[BASE.index("odata:") :], "", "OData is gone"),
    (
        "GET /orders/{id}",
        "GET /order/{id}",
        "the endpoint GET /orders/{id} is gone: get_order is at GET /order/{id} now",
    ),
    ("select_by: [path, query, header, date]", "select_by: [path, header, date]", "no longer be chosen by query"),
    ("released: 2026-03-01", "released: 2026-03-02", "the version was released on 2026-03-01"),
    ("released:", "version_query: v\nreleased:", "the version's query parameter was api-version"),
    ("released:", "version_header: X-V\nreleased:", "the version's header was Api-Version"),
    ("writing, output: null", "writing, output: string", "POST /quiet answers 200 with a body now, no longer 204"),
    ("{id: int64, note: string?", "{note: string?, id: int64", "order note, id, state, lines now"),
    (
        "{id: int64, day: date?}",
        "{day: date?, id: int64}",
        "the input of get_order has its elements in the order day, id",
    ),
    ("key: [sku]", "key: [note]", "the key of Lines was sku"),
    ("many: true", "many: false", "the navigation Orders/lines led to many"),
    (", navigation: {lines: {to: Lines, many: true}}", "", "the navigation Orders/lines is gone"),
    ("{to: Lines, many: true}", "{to: Orders, many: true}", "the navigation Orders/lines led to Lines"),
    ("    Lines: {call: parts, key: [sku]}\n", "", "the entity set Lines is gone"),
    ('output: "[Line]"', 'output: "[Order]"', "the entity type of Lines was Line"),
    ("get_order: {fixed: {},", "get_order: {fixed: {}, effect: writing,", "the effect of get_order was safe"),
]


@pytest.mark.parametrize(("before", "after", "message"), BREAKING)
async def test_a_breaking_change_is_told(before: str, after: str, message: str) -> None:
    found = breaking(await bundle(), await bundle((before, after)))
    assert message in "\n".join(finding.message for finding in found)
    assert all(finding.hint for finding in found)
    assert all(finding.place.file == "shop.yaml" for finding in found)


async def test_each_protocol_whose_consumers_notice_is_named() -> None:
    (order,) = breaking(await bundle(), await bundle(("{id: int64, day: date?}", "{day: date?, id: int64}")))
    assert order.hint.startswith("Consumers of SOAP notice it.")
    day, *_ = breaking(await bundle(), await bundle(("day: date?", "day: date")))
    assert day.hint.startswith("Consumers of REST and SOAP and OData notice it.")
    (path,) = breaking(await bundle(), await bundle(("base_path: /shop/", "base_path: /shop2/")))
    assert path.hint.startswith("Consumers of every protocol notice it.")


FINE = [
    ("", ""),
    ("day: date?", "day: date?, more: string?"),
    ("GET /orders/{id}", "ANY /orders/{id}"),
    ("  inner: {fixed: 1, output: int32}\n", ""),
    ("rest:\n", "rest:\n  GET /more: inner\n"),
    ("string(20)", "string(30)"),
    ("operations: [get_order]}\nodata", "operations: [get_order, save_order]}\nodata"),
]


@pytest.mark.parametrize(("before", "after"), FINE)
async def test_what_takes_more_and_answers_more_breaks_nothing(before: str, after: str) -> None:
    edits = ((before, after),) if before else ()
    assert breaking(await bundle(), await bundle(*edits)) == []


async def test_a_bundle_that_was_stored_compares_as_before() -> None:
    stored = Bundle.model_validate((await bundle()).content())
    assert breaking(stored, await bundle()) == []
    assert stored.revision == (await bundle()).revision


async def test_types_that_recur_are_compared_once() -> None:
    recursive = ("{sku: string(20)}", "{sku: string(20), inner: Line}")
    assert breaking(await bundle(recursive), await bundle(recursive)) == []
