"""The service as a caller sees it, through its chain: what runs, what is refused, and how the refusal looks."""

import codecs
from dataclasses import replace

import pytest
from lxml import etree
from soap_service import (
    ADDRESS,
    ENV11,
    ENV12,
    GET_7,
    NS,
    PROCESSES,
    Answer,
    Broken,
    OrderNotFound,
    P,
    answer,
    envelope,
    mount,
    operations,
    post,
)

from gateway.core.errors import (
    BadGateway,
    ContentTooLarge,
    Detail,
    Forbidden,
    InvalidInput,
    MethodNotAllowed,
    Problem,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)
from gateway.core.exchange import Head
from gateway.schema.types import DeclaredError, Field, Record, Ref, Scalar, Types

SOAP12 = "application/soap+xml; charset=utf-8"
RESULT = f".//{{{NS}}}get_orderResponse/{{{NS}}}get_orderResult"


def raising(problem: Problem):
    def fail(**_input):
        raise problem

    return PROCESSES | {"get_order": fail}


async def test_a_call_of_version_1_1_is_answered_in_1_1():
    got = await post(envelope(GET_7), action=f'"{NS}#get_order"')
    assert (got.status, got.media) == (200, "text/xml; charset=utf-8")
    assert got.text(f"{RESULT}/{{{NS}}}id") == "7"


async def test_a_call_of_version_1_2_is_answered_in_1_2():
    got = await post(envelope(GET_7, "1.2"), f'{SOAP12}; action="{NS}#get_order"')
    assert (got.status, got.media) == (200, SOAP12)
    assert etree.QName(got.root).namespace == ENV12


@pytest.mark.parametrize("mark", [codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE])
async def test_utf16_is_answered_in_utf16(mark):
    """PROTOCOLS S2."""
    codec = "utf-16-le" if mark == codecs.BOM_UTF16_LE else "utf-16-be"
    got = await post(mark + envelope(GET_7).decode().encode(codec), "text/xml; charset=utf-16")
    assert (got.status, got.media) == (200, "text/xml; charset=utf-16")
    assert got.reply.body[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


async def test_an_operation_without_output_answers_an_empty_element():
    """PROTOCOLS S4: 200, because the WSDL says that an answer comes."""
    got = await post(envelope("<t:forget><t:id>1</t:id></t:forget>"))
    assert got.status == 200
    assert list(got.root.find(f".//{{{NS}}}forgetResponse")) == []


async def test_the_input_arrives_as_canonical_values():
    seen = []
    order = (
        "<t:id>9</t:id><t:state>sent_out</t:state><t:lines><t:sku>a</t:sku><t:count>1</t:count></t:lines>"
        "<t:lines><t:sku>b</t:sku><t:count>2</t:count></t:lines>"
    )

    def create(order):
        seen.append(order)
        return 9

    await post(
        envelope(f"<t:create_order><t:order>{order}</t:order></t:create_order>"), processes={"create_order": create}
    )
    lines = [{"sku": "a", "count": 1}, {"sku": "b", "count": 2}]
    assert seen == [{"id": 9, "state": "sent out", "lines": lines}]


@pytest.mark.parametrize(("version", "status", "code"), [("1.1", 500, "Client"), ("1.2", 400, "Sender")])
async def test_wrong_input_is_the_senders_fault_and_says_where(version, status, code):
    """PROTOCOLS S4, S7."""
    got = await post(
        envelope("<t:get_order><t:id>seven</t:id></t:get_order>", version), SOAP12 if version == "1.2" else "text/xml"
    )
    assert (got.status, got.fault_code, got.problem) == (status, f"soap:{code}", "invalid_input")
    assert got.text(f".//{P}error/{P}target") == "$.id"
    assert got.text(f".//{P}request") == "request-1"


@pytest.mark.parametrize("action", ['"urn:other"', f'"{NS}#create_order"', "create_order", '"a", "b"'])
async def test_an_action_that_disagrees_with_the_body_is_refused(action):
    """PROTOCOLS S3, CASES B52."""
    got = await post(envelope(GET_7), action=action)
    assert (got.status, got.fault_code, got.problem) == (500, "soap:Client", "action_mismatch")


async def test_an_action_of_version_1_2_that_disagrees_is_refused():
    """PROTOCOLS S3, CASES B52."""
    got = await post(envelope(GET_7, "1.2"), f'{SOAP12}; action="{NS}#create_order"')
    assert (got.status, got.fault_code, got.problem) == (400, "soap:Sender", "action_mismatch")


@pytest.mark.parametrize("action", [None, '""', "", "get_order", f"{NS}#get_order"])
async def test_an_action_that_says_nothing_else_passes(action):
    assert (await post(envelope(GET_7), action=action)).status == 200


@pytest.mark.parametrize("content", ["<t:nothing/>", "<get_order/>", '<get_order xmlns="urn:example:shop:v1"/>'])
async def test_a_body_that_is_no_operation_is_refused(content):
    got = await post(envelope(content))
    assert (got.status, got.fault_code, got.problem) == (500, "soap:Client", "unknown_operation")
    assert "get_order" in got.reason


@pytest.mark.parametrize("content_type", ["application/json", "", "text/xml; charset=iso-8859-1"])
async def test_a_wrong_media_type_is_415(content_type):
    """PROTOCOLS S2."""
    got = await post(envelope(GET_7), content_type)
    assert (got.status, got.problem) == (415, "unsupported_media_type")


async def test_an_envelope_under_the_other_versions_media_type_is_415():
    got = await post(envelope(GET_7, "1.2"), "text/xml")
    assert (got.status, got.media) == (415, SOAP12)


@pytest.mark.parametrize(
    "body", [b"", b"not xml", b"<!DOCTYPE a><a/>", b"<a><?x y?></a>", envelope(""), envelope("<a/><b/>"), b"<\xff/>"]
)
@pytest.mark.parametrize("content_type", ["text/xml", "application/soap+xml"])
async def test_what_is_no_envelope_is_400_with_a_fault(body, content_type):
    """PROTOCOLS S2, S6."""
    if content_type != "text/xml":
        body = body.replace(ENV11.encode(), ENV12.encode())
    got = await post(body, content_type)
    assert (got.status, got.problem) == (400, "malformed_envelope")
    assert got.fault_code == ("soap:Client" if content_type == "text/xml" else "soap:Sender")


@pytest.mark.parametrize("content_type", ["text/xml", "application/soap+xml"])
async def test_another_soap_is_a_version_mismatch_with_an_upgrade_header(content_type):
    """PROTOCOLS S4; SOAP 1.2 part 1, section 5.4.7."""
    data = b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/2030"><e:Body><a/></e:Body></e:Envelope>'
    got = await post(data, content_type)
    assert (got.status, got.fault_code) == (500, "soap:VersionMismatch")
    supported = got.root.findall(f".//{{{ENV12}}}Upgrade/{{{ENV12}}}SupportedEnvelope")
    assert [each.get("qname") for each in supported] == ["env:Envelope"] * 2
    assert got.root[0].tag == f"{{{etree.QName(got.root).namespace}}}Header"


async def test_a_mandatory_header_is_refused_before_the_operation_runs():
    """PROTOCOLS S5."""
    header = '<h:Security xmlns:h="urn:h" e:mustUnderstand="1"/>'
    got = await post(envelope(GET_7, "1.1", header), processes=raising(AssertionError("it ran")))  # type: ignore[arg-type]
    assert (got.status, got.fault_code) == (500, "soap:MustUnderstand")
    assert "{urn:h}Security" in got.reason
    assert got.root.find(".//detail") is None


async def test_a_reply_goes_to_the_caller_whatever_reply_to_says():
    """CASES B52: WS-Addressing headers send nothing anywhere, and are refused when they are mandatory."""
    address = '<a:Address xmlns:a="http://www.w3.org/2005/08/addressing">http://10.0.0.1/</a:Address>'
    header = '<a:ReplyTo xmlns:a="http://www.w3.org/2005/08/addressing"{}>' + address + "</a:ReplyTo>"
    assert (await post(envelope(GET_7, "1.1", header.format("")))).status == 200
    got = await post(envelope(GET_7, "1.1", header.format(' e:mustUnderstand="1"')))
    assert got.fault_code == "soap:MustUnderstand"


async def test_the_data_of_an_error_is_in_its_fault_when_it_fits():
    known = Types({"Missing": Record("Missing", (Field("id", Scalar("int64")),))})
    error = DeclaredError("OrderNotFound", 404, "No such order", Ref("Missing"))
    service = mount({"get_order": replace(operations()["get_order"], errors=(error,), output=None)}, known)
    path = f".//{{{NS}}}OrderNotFound/{{{NS}}}data/{{{NS}}}id"
    got = await post(envelope(GET_7), processes=raising(OrderNotFound(id=7)), service=service)
    assert got.text(path) == "7"
    got = await post(envelope(GET_7), processes=raising(OrderNotFound(id="x", more=1)), service=service)
    assert (got.text(path), got.text(f".//{{{NS}}}code")) == (None, "OrderNotFound")


async def test_version_1_2_names_the_headers_that_are_not_understood():
    """PROTOCOLS S4, S5."""
    header = '<h:a xmlns:h="urn:h" e:mustUnderstand="true"/><b e:mustUnderstand="true"/><c/>'
    got = await post(envelope(GET_7, "1.2", header), SOAP12)
    assert (got.status, got.fault_code) == (500, "soap:MustUnderstand")
    named = got.root.findall(f"{{{ENV12}}}Header/{{{ENV12}}}NotUnderstood")
    assert [each.get("qname") for each in named] == ["h:a", "b"]
    assert named[0].nsmap["h"] == "urn:h"


@pytest.mark.parametrize(("version", "status", "code"), [("1.1", 500, "soap:Client"), ("1.2", 400, "soap:Sender")])
async def test_a_declared_error_is_a_typed_fault(version, status, code):
    """PROTOCOLS S4: whatever HTTP status REST would give it."""
    body = envelope(GET_7, version)
    got = await post(body, SOAP12 if version == "1.2" else "text/xml", processes=raising(OrderNotFound("No order 7.")))
    detail = f".//{{{NS}}}OrderNotFound/{{{NS}}}"
    assert (got.status, got.fault_code, got.reason) == (status, code, "No order 7.")
    assert (got.text(f"{detail}code"), got.text(f"{detail}title")) == ("OrderNotFound", "No such order")
    assert got.text(f"{detail}detail") == "No order 7."


@pytest.mark.parametrize(("version", "status", "code"), [("1.1", 500, "soap:Server"), ("1.2", 500, "soap:Receiver")])
@pytest.mark.parametrize("problem", [Broken(), BadGateway("down"), ValueError("a bug")])
async def test_what_is_not_the_senders_fault_is_the_servers(version, status, code, problem):
    body = envelope(GET_7, version)
    got = await post(body, SOAP12 if version == "1.2" else "text/xml", processes=raising(problem))
    assert (got.status, got.fault_code) == (status, code)


async def test_the_subcode_is_the_problems_code():
    got = await post(envelope(GET_7, "1.2"), SOAP12, processes=raising(OrderNotFound()))
    value = got.root.find(f".//{{{ENV12}}}Subcode/{{{ENV12}}}Value")
    assert (value.text, value.nsmap["code"]) == ("code:OrderNotFound", NS)


@pytest.mark.parametrize(
    "problem",
    [
        Unauthorized("no key", headers=[(b"www-authenticate", b"ApiKey")]),
        Forbidden(),
        ContentTooLarge(),
        TooManyRequests("slow down", headers=[(b"retry-after", b"3")]),
        Unavailable(),
        MethodNotAllowed(headers=[(b"allow", b"POST")]),
    ],
)
@pytest.mark.parametrize("content_type", ["text/xml", SOAP12])
async def test_problems_of_http_keep_their_status_and_headers(problem, content_type):
    """PROTOCOLS S4: a client's HTTP library must see 401 and 429 as such."""
    got = await post(
        envelope(GET_7, "1.2" if "soap" in content_type else "1.1"), content_type, processes=raising(problem)
    )
    assert got.status == problem.status
    assert got.problem == problem.code
    for name, value in problem.headers:
        assert got.reply.get(name) == value


async def test_characters_that_xml_cannot_carry_do_not_break_a_fault():
    problem = InvalidInput("bad \x00\ud800 text", target="$.\x01", details=[Detail("$", "\x02")])
    got = await post(envelope(GET_7), processes=raising(problem))
    assert got.reason == "bad \ufffd\ufffd text"


async def test_a_value_that_does_not_fit_the_output_is_the_servers_fault():
    got = await post(envelope(GET_7), processes={"get_order": lambda id: {"id": "x"}})
    assert (got.status, got.fault_code, got.problem) == (500, "soap:Server", "internal_error")


@pytest.mark.parametrize("query", [b"wsdl", b"WSDL", b"wsdl=", b"Wsdl=single", b"singleWsdl", b"key=1&wsdl"])
async def test_the_wsdl_is_served_in_any_case_with_the_clients_address(query):
    """PROTOCOLS S1."""
    head = Head(b"GET", ADDRESS.encode(), query, b"", b"shop.example:81")
    got = Answer(await answer(mount(), {}, head, b""))
    assert (got.status, got.media) == (200, "text/xml; charset=utf-8")
    locations = [each.get("location") for each in got.root.iter() if etree.QName(each).localname == "address"]
    assert locations == ["http://shop.example:81/shop/v2/soap"] * 2


@pytest.mark.parametrize(("query", "status"), [(b"", 405), (b"xsd=1", 404), (b"wsdl=2", 404), (b"disco", 404)])
async def test_other_documents_are_refused_with_the_way_to_the_wsdl(query, status):
    got = Answer(await answer(mount(), {}, Head(b"GET", ADDRESS.encode(), query), b""))
    assert got.status == status
    assert "?wsdl" in got.reason


async def test_an_address_is_escaped_in_the_wsdl():
    got = Answer(await answer(mount(), {}, Head(b"GET", b"/", b"wsdl", b"", b'a"<&'), b""))
    assert got.root.find(".//{*}address").get("location") == f'http://a"<&{ADDRESS}'
