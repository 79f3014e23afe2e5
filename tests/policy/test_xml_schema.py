"""`xml-schema` before a relay."""

from __future__ import annotations

from typing import Any

import pytest

from tests.policy.body_harness import relaying, response, step
from tests.upstreams import always

XML = "application/xml"
XS = 'xmlns:xs="http://www.w3.org/2001/XMLSchema"'
SKU = """<xs:simpleType name="Sku">
<xs:restriction base="xs:string"><xs:maxLength value="3"/></xs:restriction></xs:simpleType>"""
LINES = """<xs:element name="order"><xs:complexType><xs:sequence>
<xs:element name="sku" type="Sku" maxOccurs="100"/></xs:sequence></xs:complexType></xs:element>"""
SCHEMA = f"<xs:schema {XS}>{SKU}{LINES}</xs:schema>"
DIVIDED = f'<xs:schema {XS}><xs:include schemaLocation="../types/common.xsd"/>{LINES}</xs:schema>'
COMMON = f'<xs:schema {XS}><xs:include schemaLocation="sku.xsd"/></xs:schema>'
FILES = {"../types/common.xsd": COMMON, "sku.xsd": f"<xs:schema {XS}>{SKU}</xs:schema>"}


def requests(schema: str = SCHEMA, **more: Any) -> Any:
    return step("xml-schema", {"request": {"schema": schema, **more}})


async def test_a_body_that_fits_goes_on_untouched() -> None:
    body = b"<order> <sku>a</sku></order>"
    async with relaying(requests()) as relay:
        assert (await relay.request(body=body, media_type=XML)).status == 200
    assert relay.upstream.received[0].body == body


async def test_every_place_that_does_not_fit_is_told_and_no_value() -> None:
    async with relaying(requests()) as relay:
        body = b"<order><sku>hush</sku><sku>a</sku><sku>hush!</sku><more/></order>"
        answered = await relay.request(body=body, media_type=XML)
    assert (answered.status, answered.places) == (400, ["/order/sku[1]", "/order/sku[3]", "/order/more"])
    assert b"hush" not in answered.body


async def test_a_schema_may_be_divided_over_files() -> None:
    async with relaying(requests(DIVIDED, files=FILES)) as relay:
        assert (await relay.request(body=b"<order><sku>abc</sku></order>", media_type=XML)).status == 200
        assert (await relay.request(body=b"<order><sku>abcd</sku></order>", media_type=XML)).status == 400


@pytest.mark.parametrize(
    "body",
    [
        b'<!DOCTYPE order SYSTEM "http://127.0.0.1:9/x.dtd"><order><sku>a</sku></order>',
        b'<!DOCTYPE order [<!ENTITY x "y">]><order><sku>&x;</sku></order>',
        b"<order>" * 300 + b"</order>" * 300,
        b"<order><sku>a</sku>",
        "<!DOCTYPE order><order><sku>a</sku></order>".encode("utf-16"),
        b"no xml",
    ],
)
async def test_what_is_no_plain_xml_is_refused_before_the_schema(body: bytes) -> None:
    """CASES B50"""
    async with relaying(requests()) as relay:
        answered = await relay.request(body=body, media_type=XML)
    assert (answered.status, relay.upstream.received) == (400, [])


async def test_a_hint_at_another_schema_leads_nowhere() -> None:
    """CASES B50: no egress by schemaLocation."""
    async with relaying(requests()) as relay:
        xsi = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        hint = f'{xsi} xsi:schemaLocation="urn:x {relay.upstream.url}/x.xsd"'
        none = f'xsi:noNamespaceSchemaLocation="{relay.upstream.url}/y.xsd"'
        body = f"<order {hint} {none}><sku>a</sku></order>".encode()
        assert (await relay.request(body=body, media_type=XML)).status == 200
    assert [each.target for each in relay.upstream.received] == [b"/orders"]


@pytest.mark.parametrize("location", ["/etc/passwd", "http://127.0.0.1:9/x.xsd", "file:///etc/passwd", "other.xsd"])
async def test_a_schema_that_refers_to_what_is_not_here_is_refused_when_it_is_built(location: str) -> None:
    schema = f'<xs:schema {XS}><xs:include schemaLocation="{location}"/>{LINES}</xs:schema>'
    with pytest.raises(ValueError, match="nothing is fetched"):
        async with relaying(requests(schema)):
            pass


@pytest.mark.parametrize(
    "schema", ["<xs:schema", "<order/>", f"<xs:schema {XS}>{LINES}</xs:schema>", "<!DOCTYPE a><a/>"]
)
async def test_what_is_no_schema_is_refused_when_it_is_built(schema: str) -> None:
    with pytest.raises(ValueError, match="schema"):
        async with relaying(requests(schema)):
            pass


@pytest.mark.parametrize(
    "namespace", ["http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope"]
)
async def test_what_a_soap_body_holds_is_checked(namespace: str) -> None:
    def envelope(content: str) -> bytes:
        return f'<s:Envelope xmlns:s="{namespace}"><s:Body>{content}</s:Body></s:Envelope>'.encode()

    async with relaying(requests(part="soap-body")) as relay:
        for content, status in (("<order><sku>a</sku></order>", 200), ("<order/>", 400), ("", 400), ("<a/><b/>", 400)):
            assert (await relay.request(body=envelope(content), media_type="text/xml")).status == status
        assert (await relay.request(body=b"<order><sku>a</sku></order>", media_type="text/xml")).status == 400


async def test_a_reply_that_does_not_fit_is_502_also_a_large_one() -> None:
    config = {"response": {"schema": SCHEMA.replace('"100"', '"unbounded"')}}
    large = b"<order>" + b"<sku>a</sku>" * 7000 + b"<sku>long</sku></order>"
    for body, status in ((b"<order><sku>a</sku></order>", 200), (b"<order/>", 502), (large, 502)):
        async with relaying(step("xml-schema", config), answering=always(response(body, media_type=XML))) as relay:
            assert (await relay.request("GET")).status == status
