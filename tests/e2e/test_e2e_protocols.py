"""One typed operation, three protocols: the same values, the same errors (PROTOCOLS T)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import requests
import zeep
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree
from zeep.exceptions import Fault
from zeep.helpers import serialize_object

from gateway.demo.database import ORDERS, PRODUCTS
from gateway.demo.shop import Status
from tests.e2e.gateway_client import Node

NS = "urn:example:shop:v2"
bounded = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module", params=["soap11", "soap12"])
def soap(request: pytest.FixtureRequest, node: Node, key: str) -> Iterator[Any]:
    """zeep, one binding."""
    with requests.Session() as session:
        session.headers["X-API-KEY"] = key
        transport = zeep.Transport(session=session)
        wsdl = f"{node.url}/shop/v2/soap?wsdl"
        with zeep.Client(wsdl, service_name="shop-v2", port_name=f"shop-v2-{request.param}", transport=transport) as it:
            yield it.service


def canonical(value: Any) -> Any:
    """What a protocol's spelling of an order means."""
    if isinstance(value, dict):
        return {
            name: _money(part) if name in {"total", "price"} and part is not None
            else _moment(part) if name == "placed_at"
            else _status(part) if name == "status"
            else canonical(part)
            for name, part in value.items() if not name.startswith("@")
        }  # fmt: skip
    return [canonical(part) for part in value] if isinstance(value, list) else value


def _money(value: Any) -> Decimal:
    return Decimal(str(value)).quantize(Decimal("0.01"))


def _moment(value: Any) -> datetime:
    return (datetime.fromisoformat(value) if isinstance(value, str) else value).astimezone(UTC)


def _status(value: str) -> Status:
    """EDM names the member, the others its value."""
    return Status[value] if value in Status.__members__ else Status(value)


@bounded
@given(id=st.integers(1, ORDERS))
def test_an_order_is_the_same_in_all_protocols(node: Node, key: str, soap: Any, id: int) -> None:
    rest = canonical(node.call("GET", f"/shop/v2/orders/{id}", key).json())
    odata = canonical(node.call("GET", f"/shop/v2/odata/get_order(id={id})", key).json())
    assert rest == odata == canonical(serialize_object(soap.get_order(id=id), dict))
    assert rest["id"] == id
    assert rest["total"] == sum(line["price"] * line["quantity"] for line in rest["lines"])


@bounded
@given(id=st.integers(1, ORDERS))
def test_a_table_row_and_the_typed_order_agree(node: Node, key: str, id: int) -> None:
    row = canonical(node.call("GET", f"/shop/v2/odata/Orders({id})", key).json())
    order = canonical(node.call("GET", f"/shop/v2/orders/{id}", key).json())
    del order["lines"]
    assert row == order


lines = st.lists(
    st.fixed_dictionaries({"product_id": st.integers(1, PRODUCTS), "quantity": st.integers(1, 1000)}),
    min_size=1, max_size=5,
)  # fmt: skip
texts = st.text(  # not empty: zeep reads an empty element as None
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=200
).filter(
    lambda text: "\ufffe" not in text and "\uffff" not in text  # XML 1.0 has no spelling for these
)
orders = st.fixed_dictionaries(
    {"customer_id": st.integers(1, 500), "lines": lines}, optional={"note": st.none() | texts}
)


@bounded
@given(order=orders)
def test_an_order_placed_by_soap_is_read_by_the_others(node: Node, key: str, soap: Any, order: dict[str, Any]) -> None:
    made = canonical(serialize_object(soap.create_order(order=order), dict))
    assert made == canonical(node.call("GET", f"/shop/v2/orders/{made['id']}", key).json())
    assert (made["customer_id"], made["note"]) == (order["customer_id"], order.get("note"))
    assert [{name: line[name] for name in ("product_id", "quantity")} for line in made["lines"]] == order["lines"]


@bounded
@given(order=orders)
def test_an_order_placed_by_rest_is_read_by_odata(node: Node, key: str, order: dict[str, Any]) -> None:
    answer = node.call("POST", "/shop/v2/orders", key, json=order)
    assert answer.status_code == 201
    made = canonical(answer.json())
    assert made == canonical(node.call("GET", f"/shop/v2/odata/get_order(id={made['id']})", key).json())
    assert made["note"] == order.get("note")


def test_a_declared_error_is_a_problem_a_typed_fault_and_an_odata_error(node: Node, key: str, soap: Any) -> None:
    """PROTOCOLS T, R3, S4, O4."""
    rest = node.call("GET", "/shop/v2/orders/999999", key)
    assert (rest.status_code, rest.headers["Content-Type"]) == (404, "application/problem+json")
    problem = rest.json()
    assert (problem["code"], problem["status"], problem["title"]) == ("OrderNotFound", 404, "No such order")
    odata = node.call("GET", "/shop/v2/odata/get_order(id=999999)", key)
    assert odata.status_code == 404
    assert odata.json()["error"]["code"] == "OrderNotFound"
    assert odata.json()["error"]["message"] == problem["detail"]
    with pytest.raises(Fault) as caught:
        soap.get_order(id=999_999)
    assert caught.value.message == problem["detail"]
    assert caught.value.code.rpartition(":")[2] in {"Client", "Sender"}
    assert next(etree.QName(part).localname for part in caught.value.detail) == "OrderNotFound"
    assert etree.QName(caught.value.detail[0]).namespace == NS


def test_a_backends_error_status_is_the_declared_error_in_all_protocols(node: Node, key: str, soap: Any) -> None:
    rest = node.call("GET", "/shop/v2/tax/XX?amount=1", key)
    odata = node.call("GET", "/shop/v2/odata/find_tax(country='XX',amount=1)", key)
    with pytest.raises(Fault) as caught:
        soap.find_tax(country="XX", amount=1)
    assert (rest.status_code, rest.json()["code"]) == (404, "UnknownCountry")
    assert (odata.status_code, odata.json()["error"]["code"]) == (404, "UnknownCountry")
    assert etree.QName(caught.value.detail[0]).localname == "UnknownCountry"


def test_a_typed_backend_call_is_the_same_in_all_protocols(node: Node, key: str, soap: Any) -> None:
    rest = node.call("GET", "/shop/v2/tax/DE?amount=19.90", key).json()
    odata = node.call("GET", "/shop/v2/odata/find_tax(country='DE',amount=19.90)", key).json()
    tax = serialize_object(soap.find_tax(country="DE", amount=Decimal("19.90")), dict)
    found = [(each["country"], Decimal(str(each["rate"])), Decimal(str(each["amount"]))) for each in (rest, odata, tax)]
    assert found == [("DE", Decimal("0.19"), Decimal("19.9"))] * 3


def test_input_that_does_not_fit_is_refused_in_all_protocols_with_its_place(node: Node, key: str) -> None:
    rest = node.call("POST", "/shop/v2/orders", key, json={"customer_id": "x", "lines": []})
    assert rest.status_code == 400
    assert {error["target"] for error in rest.json()["errors"]} == {"$.customer_id", "$.lines"}
    envelope = (
        '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>'
        f'<create_order xmlns="{NS}"><order><customer_id>x</customer_id></order></create_order></e:Body></e:Envelope>'
    )
    soap = node.call("POST", "/shop/v2/soap", key, content=envelope, headers={"Content-Type": "text/xml"})
    assert soap.status_code == 500
    assert b"customer_id" in soap.content
    odata = node.call("GET", "/shop/v2/odata/get_order(id='x')", key)
    assert odata.status_code == 400
    assert odata.json()["error"]["code"]
