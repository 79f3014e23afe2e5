"""Typed SOAP calls: the envelope that is made of the input, and what becomes of each answer."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from gateway.backend.http import HttpCall, bind
from gateway.core.call import Call, Context
from gateway.core.errors import BadGateway, GatewayTimeout, Problem
from gateway.core.kinds import Services
from gateway.schema.contract import read_operation
from gateway.schema.json_schema import read_types
from tests.backend.test_http_backend import FakeUpstream

NS = "urn:example:stock"
QUOTE = {
    "type": "object",
    "properties": {
        "symbol": {"type": "string"},
        "price": {"type": "number", "format": "decimal"},
        "related": {"type": "array", "items": {"$ref": "#/types/Quote"}},
    },
    "required": ["symbol", "price"],
}
SYMBOL = {"type": "object", "properties": {"symbol": {"type": "string"}}}
INPUT = {
    "type": "object",
    "properties": {"symbol": {"type": "string"}, "depth": {"type": ["integer", "null"], "format": "int32"}},
    "required": ["symbol"],
}
CALL = {
    "action": "urn:get", "namespace": NS, "element": "GetQuote", "response": "GetQuoteResponse", "result": "quote",
    "errors": {"UnknownSymbol": "Unknown"},
}  # fmt: skip
ENVELOPES = {"1.1": "http://schemas.xmlsoap.org/soap/envelope/", "1.2": "http://www.w3.org/2003/05/soap-envelope"}


def envelope(inside: str, version: str = "1.1") -> bytes:
    return f'<s:Envelope xmlns:s="{ENVELOPES[version]}"><s:Body>{inside}</s:Body></s:Envelope>'.encode()


def quote(inside: str = "<symbol>A</symbol><price>1.50</price>") -> bytes:
    return envelope(f'<GetQuoteResponse xmlns="{NS}"><quote>{inside}</quote></GetQuoteResponse>')


def service(
    answer: bytes, status: int = 200, failure: Exception | None = None, **changed: Any
) -> tuple[Any, FakeUpstream]:
    types = read_types({"Quote": QUOTE, "Symbol": SYMBOL})
    output = changed.pop("output", {"$ref": "#/types/Quote"})
    errors = {"Unknown": {"status": 404, "title": "No such symbol", "detail": {"$ref": "#/types/Symbol"}}}
    contract = {"effect": "writing", "input": INPUT, "output": output, "errors": errors}
    operation = read_operation("get_quote", contract, types)
    upstream = FakeUpstream(status, answer, failure)
    config = HttpCall(request="POST /ws", soap={**CALL, **changed})
    return bind(config, upstream, operation, types, Services()), upstream


async def call(backend: Any, **input: Any) -> Any:
    return await backend.invoke(Call("get_quote", {"symbol": "A", **input}, Context("req-1")))


@pytest.mark.parametrize(
    ("version", "fields"),
    [
        ("1.1", {b"content-type": b"text/xml; charset=utf-8", b"soapaction": b'"urn:get"', b"accept": b"text/xml"}),
        (
            "1.2",
            {
                b"content-type": b'application/soap+xml; charset=utf-8; action="urn:get"',
                b"accept": b"application/soap+xml",
            },
        ),
    ],
)
async def test_a_request_is_an_envelope_of_its_version(version: str, fields: dict[bytes, bytes]) -> None:
    answer = envelope(f'<x:GetQuoteResponse xmlns:x="{NS}"/>', version)
    backend, upstream = service(answer, version=version, output=None, result=None)
    assert await call(backend, depth=2) is None
    method, target, sent, body = upstream.asked[0]
    assert (method, target, sent) == (b"POST", b"/ws", fields)
    root = etree.fromstring(body)
    assert root.tag == f"{{{ENVELOPES[version]}}}Envelope"
    wrapper = root[0][0]
    assert [(each.tag, each.text) for each in wrapper] == [(f"{{{NS}}}symbol", "A"), (f"{{{NS}}}depth", "2")]


async def test_unqualified_elements_have_no_namespace() -> None:
    answer = envelope(
        f'<x:GetQuoteResponse xmlns:x="{NS}"><quote><symbol>A</symbol><price>2</price></quote></x:GetQuoteResponse>'
    )
    backend, upstream = service(answer, qualified=False)
    assert await call(backend) == {"symbol": "A", "price": Decimal(2)}
    assert etree.fromstring(upstream.asked[0][3])[0][0][0].tag == "symbol"


async def test_null_and_what_is_not_given_is_left_out() -> None:
    backend, upstream = service(quote())
    await call(backend, depth=None)
    assert b"depth" not in upstream.asked[0][3]


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff")))
async def test_any_text_arrives_as_it_is(text: str) -> None:
    backend, upstream = service(quote())
    await call(backend, symbol=text)
    assert (etree.fromstring(upstream.asked[0][3])[0][0][0].text or "") == text


async def test_an_answer_is_read_as_the_output() -> None:
    inside = "<symbol>A</symbol><price>1.50</price><related><symbol>B</symbol><price>2</price></related>"
    backend, _ = service(quote(inside))
    related = [{"symbol": "B", "price": Decimal(2)}]
    assert await call(backend) == {"symbol": "A", "price": Decimal("1.50"), "related": related}


async def test_what_is_not_declared_and_any_order_is_taken() -> None:
    backend, _ = service(quote('<new at="x">1</new><price a="b">1.50</price><!-- c --><symbol>A</symbol>'))
    assert await call(backend) == {"symbol": "A", "price": Decimal("1.50")}


FAULT = "<s:Fault><faultcode>s:Client</faultcode><faultstring>No Z</faultstring><detail>{}</detail></s:Fault>"


async def test_a_declared_fault_is_that_error_with_its_detail() -> None:
    detail = f'<UnknownSymbol xmlns="{NS}"><symbol>Z</symbol></UnknownSymbol>'
    backend, _ = service(envelope(FAULT.format(detail)), 500)
    with pytest.raises(Problem) as raised:
        await call(backend)
    problem = raised.value
    assert (problem.code, problem.status, problem.detail) == ("Unknown", 404, "No Z")
    assert problem.extensions == {"symbol": "Z"}


async def test_a_declared_fault_of_soap_1_2() -> None:
    detail = f'<s:Detail><UnknownSymbol xmlns="{NS}"/></s:Detail>'
    fault = f"<s:Fault><s:Code/><s:Reason><s:Text>No Z</s:Text></s:Reason>{detail}</s:Fault>"
    backend, _ = service(envelope(fault, "1.2"), 400, version="1.2")
    with pytest.raises(Problem) as raised:
        await call(backend)
    assert (raised.value.code, raised.value.detail) == ("Unknown", "No Z")


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (envelope(FAULT.format("<secret>PL4NTED</secret>")), 500),
        (quote("<symbol>A</symbol>"), 200),
        (quote("<symbol>A</symbol><price>PL4NTED</price>"), 200),
        (envelope("<other/>"), 200),
        (envelope("", "1.2"), 200),
        (b"<html>PL4NTED</html>", 200),
        (b"PL4NTED", 502),
        (b"", 200),
        (b"", 503),
        (b'<!DOCTYPE a [<!ENTITY x "PL4NTED">]>' + quote("<symbol>&x;</symbol><price>1</price>"), 200),
        (quote("<a>" * 100_000), 200),
    ],
)
async def test_what_does_not_fit_is_a_bad_gateway_that_tells_nothing_of_it(answer: bytes, status: int) -> None:
    backend, _ = service(answer, status)
    with pytest.raises(BadGateway) as raised:
        await call(backend)
    assert "PL4NTED" not in raised.value.detail


@pytest.mark.parametrize(("failure", "kind"), [(TimeoutError(), GatewayTimeout), (OSError(), BadGateway)])
async def test_a_service_that_does_not_answer(failure: Exception, kind: type[Problem]) -> None:
    backend, _ = service(b"", failure=failure)
    with pytest.raises(kind):
        await call(backend)
