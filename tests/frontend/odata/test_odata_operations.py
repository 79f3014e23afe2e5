from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

ROOT = "https://api.example/shop/v2/odata"


async def test_a_function_takes_typed_parameters(service: Any) -> None:
    status, body, _ = await service.get("find_tax(country='D''E,(',amount=1.50)")
    assert (status, body["country"], body["amount"]) == (200, "D'E,(", 1.5)
    assert service.call.input == {"country": "D'E,(", "amount": Decimal("1.50")}
    assert body["@odata.context"] == f"{ROOT}/$metadata#Example.Shop.Tax"
    assert service.call.context.protocol == "odata"


async def test_parameters_may_be_aliases(service: Any) -> None:
    status, body, _ = await service.get("find_tax(country=@c)", "@c='FR'")
    assert (status, body["country"]) == (200, "FR")
    status, body, _ = await service.get("find_tax", "@country='IT'&@amount=2")
    assert (status, body["country"], body["amount"]) == (200, "IT", 2)


async def test_a_primitive_result_is_wrapped(service: Any) -> None:
    for path in ("rate()", "rate"):
        status, body, _ = await service.get(path, Accept="application/json;IEEE754Compatible=true")
        assert (status, body) == (200, {"@odata.context": f"{ROOT}/$metadata#Edm.Decimal", "value": "0.19"})


async def test_a_null_result_is_204(service: Any) -> None:
    status, body, _ = await service.get("find_nothing()")
    assert (status, body) == (204, b"")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("find_tax()", 400),
        ("find_tax(country=1)", 400),
        ("find_tax(country='DE',amount='x')", 400),
        ("find_tax(country='DE',colour=1)", 400),
        ("find_tax('DE')", 400),
        ("find_tax(country='DE',country='FR')", 400),
        ("find_tax(country='DE", 404),
        ("find_tax(country=@nowhere)", 400),
        ("find_tax(country='DE')/amount", 501),
        ("find_tax(country=['DE'])", 501),
    ],
)
async def test_wrong_parameters_are_refused(service: Any, path: str, status: int) -> None:
    assert (await service.get(path))[0] == status


async def test_querying_a_result_is_501(service: Any) -> None:
    assert (await service.get("rate()", "$filter=1%20eq%201"))[0] == 501


async def test_an_action_takes_a_json_body(service: Any) -> None:
    status, body, _ = await service.request(
        b"POST",
        "create_order",
        body=b'{"order":{"order":1,"line":2,"sku":"x"},"note@odata.type":"#String","note":"n"}',
        Content_Type="application/json;IEEE754Compatible=true",
        Accept="application/json;IEEE754Compatible=true",
    )
    assert (status, body["value"]) == (200, "9007199254740993")
    assert service.call.input == {"order": {"order": 1, "line": 2, "sku": "x"}, "note": "n"}


async def test_a_wrong_body_names_its_places(service: Any) -> None:
    status, body, _ = await service.request(
        b"POST", "create_order", body=b'{"order":{"order":"x","line":2},"colour":1}', Content_Type="application/json"
    )
    assert status == 400
    assert {detail["target"] for detail in body["error"]["details"]} >= {"$.order.order", "$.order.sku"}


async def test_an_action_takes_json_only(service: Any) -> None:
    assert (await service.request(b"POST", "create_order", body=b"<a/>", Content_Type="text/xml"))[0] == 415


async def test_methods_that_do_not_fit_are_405(service: Any) -> None:
    status, _, reply = await service.get("create_order")
    assert (status, reply.get(b"allow")) == (405, b"POST")
    status, _, reply = await service.request(b"POST", "rate()")
    assert (status, reply.get(b"allow")) == (405, b"GET, HEAD")
