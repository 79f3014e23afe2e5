"""What the envelope's reader accepts and refuses, on its own."""

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st
from soap_service import ENV11, ENV12, GET_7, NS, envelope

from gateway.core.errors import ContentTooLarge, Problem, UnsupportedMediaType
from gateway.frontend.soap.envelope import (
    SOAP11,
    SOAP12,
    EnvelopeLimits,
    Form,
    MalformedEnvelope,
    Reader,
    in_utf8,
    media_type,
    not_understood,
    open_envelope,
    version_of,
)

LIMITS = EnvelopeLimits()


def opened(data: bytes, limits: EnvelopeLimits = LIMITS):
    root = Reader(limits).parse(data)
    return open_envelope(root, Form(version_of(root)))


def refusal(data: bytes, limits: EnvelopeLimits = LIMITS) -> str:
    with pytest.raises(MalformedEnvelope) as caught:
        opened(data, limits)
    return caught.value.detail


def test_the_body_element_names_the_operation():
    assert opened(envelope(GET_7)).operation.text == f"{{{NS}}}get_order"


@pytest.mark.parametrize(
    "data",
    [
        b"<!DOCTYPE a><a/>",
        b'<?xml version="1.0"?>\n<!-- c --><!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        b'<!DOCTYPE a [<!ENTITY x "y"><!ENTITY z "&x;&x;">]><a>&z;</a>',
    ],
)
def test_a_doctype_is_refused(data):
    """PROTOCOLS S6, CASES B50."""
    assert "DTD" in refusal(data)


def test_html_in_cdata_is_no_doctype():
    content = "<t:get_order><![CDATA[<!DOCTYPE html><p>]]></t:get_order>"
    assert opened(envelope(content)).body.text == "<!DOCTYPE html><p>"


@pytest.mark.parametrize(
    "data",
    [b"<?php x?><a/>", b"<a><?php x?></a>", b"<a/><?php x?>", b'<?xml-stylesheet href="x"?><a/>'],
)
def test_a_processing_instruction_is_refused(data):
    """PROTOCOLS S6."""
    assert "processing instruction" in refusal(data)


def test_an_unknown_entity_is_refused():
    assert "x" in refusal(b"<a>&x;</a>")


@pytest.mark.parametrize("depth", [100, 300, 5000])
def test_deep_nesting_is_refused(depth):
    """CASES B50."""
    refusal(envelope("<a>" * depth + "</a>" * depth))


def test_a_depth_within_the_limit_is_read():
    assert opened(envelope("<a>" * 98 + "</a>" * 98)).body.tag == "a"


def test_fifty_thousand_attributes_are_refused():
    """CASES B50."""
    attributes = " ".join(f'a{number}="1"' for number in range(50_000))
    assert "64 attributes" in refusal(envelope(f"<a {attributes}/>"))


def test_too_many_children_are_refused():
    assert "10 children" in refusal(envelope("<a>" + "<b/>" * 11 + "</a>"), EnvelopeLimits(children=10))


def test_too_many_elements_are_refused_before_they_are_parsed():
    with pytest.raises(ContentTooLarge, match="100 elements"):
        opened(envelope("<a>" + "<b/>" * 101 + "</a>"), EnvelopeLimits(elements=100))


def test_too_many_bytes_are_refused():
    with pytest.raises(ContentTooLarge):
        opened(envelope(GET_7), EnvelopeLimits(bytes=10))


def test_a_schema_location_fetches_nothing():
    """CASES B50: the hint is an attribute like any other."""
    xsi = "http://www.w3.org/2001/XMLSchema-instance"
    content = f'<a xmlns:i="{xsi}" i:schemaLocation="urn:x http://127.0.0.1:1/x.xsd"/>'
    assert opened(envelope(content)).body.tag == "a"


def test_an_xinclude_includes_nothing():
    content = '<a xmlns:x="http://www.w3.org/2001/XInclude"><x:include href="/etc/passwd" parse="text"/></a>'
    assert opened(envelope(content)).body[0].text is None


def test_an_empty_body_is_refused():
    assert "holds 0" in refusal(envelope(""))


def test_two_body_elements_are_refused():
    """PROTOCOLS S6."""
    assert "holds 2" in refusal(envelope("<a/><b/>"))


def test_text_in_the_body_is_refused():
    assert "text" in refusal(envelope("hello<a/>"))


def test_an_element_after_the_body_is_refused():
    """PROTOCOLS S6."""
    data = f'<e:Envelope xmlns:e="{ENV11}"><e:Body><a/></e:Body><b/></e:Envelope>'
    assert "after" in refusal(data.encode()) or "follow" in refusal(data.encode())


def test_a_header_after_the_body_is_refused():
    data = f'<e:Envelope xmlns:e="{ENV11}"><e:Body><a/></e:Body><e:Header/></e:Envelope>'
    assert "follow" in refusal(data.encode())


def test_a_body_of_the_other_version_is_refused():
    data = f'<e:Envelope xmlns:e="{ENV11}"><f:Body xmlns:f="{ENV12}"><a/></f:Body></e:Envelope>'
    refusal(data.encode())


def test_a_root_that_is_no_envelope_is_refused():
    assert "not a SOAP Envelope" in refusal(b"<order/>")


@pytest.mark.parametrize(
    ("data", "charset"),
    [
        ("é".encode(), "utf-8"),
        (codecs.BOM_UTF8 + "é".encode(), "utf-8"),
        (codecs.BOM_UTF16_LE + "é".encode("utf-16-le"), "utf-16"),
        (codecs.BOM_UTF16_BE + "é".encode("utf-16-be"), "utf-16"),
    ],
)
def test_byte_order_marks_tell_the_charset(data, charset):
    """PROTOCOLS S2."""
    assert in_utf8(data, None) == ("é".encode(), charset)


def test_the_media_types_charset_is_read_without_a_mark():
    assert in_utf8("é".encode("utf-16-be"), "UTF-16") == ("é".encode(), "utf-16")


def test_the_declaration_tells_the_charset_last():
    with pytest.raises(UnsupportedMediaType, match="iso-8859-1"):
        in_utf8(b'<?xml version="1.0" encoding="ISO-8859-1"?><a/>', None)
    assert in_utf8(b'<?xml version="1.0" encoding="ISO-8859-1"?><a/>', "utf-8")[1] == "utf-8"


def test_half_a_utf16_character_is_refused():
    with pytest.raises(MalformedEnvelope):
        in_utf8(codecs.BOM_UTF16_LE + b"a", None)


@pytest.mark.parametrize(
    ("value", "version", "charset", "action"),
    [
        (b"text/xml", SOAP11, None, None),
        (b"Text/XML; Charset=UTF-8", SOAP11, "UTF-8", None),
        (b'text/xml;charset="utf-8"', SOAP11, "utf-8", None),
        (b'application/soap+xml; charset=utf-8; action="urn:x#y"', SOAP12, "utf-8", "urn:x#y"),
        (b'application/soap+xml; action="a\\"b;c"', SOAP12, None, 'a"b;c'),
        (b"application/soap+xml;", SOAP12, None, None),
    ],
)
def test_media_types_are_read(value, version, charset, action):
    assert media_type(value) == (version, charset, action)


@pytest.mark.parametrize(
    "value", [None, b"", b"application/json", b"application/xml", b"text/xml, text/xml", b"text/xml; charset", b"text"]
)
def test_other_media_types_are_refused(value):
    """PROTOCOLS S2."""
    with pytest.raises(UnsupportedMediaType):
        media_type(value)


MANDATORY_11 = [
    ('e:mustUnderstand="1"', True),
    ('e:mustUnderstand="0"', False),
    ("", False),
    ('e:mustUnderstand="1" e:actor="http://schemas.xmlsoap.org/soap/actor/next"', True),
    ('e:mustUnderstand="1" e:actor="urn:another:node"', False),
]
MANDATORY_12 = [
    ('e:mustUnderstand="true"', True),
    ('e:mustUnderstand="true" e:role="http://www.w3.org/2003/05/soap-envelope/role/next"', True),
    ('e:mustUnderstand="true" e:role="http://www.w3.org/2003/05/soap-envelope/role/ultimateReceiver"', True),
    ('e:mustUnderstand="true" e:role="http://www.w3.org/2003/05/soap-envelope/role/none"', False),
    ('e:mustUnderstand="true" e:role="urn:another:node"', False),
    ('e:mustUnderstand="false" e:relay="true"', False),
    ('e:mustUnderstand="true" e:relay="true"', True),
]


@pytest.mark.parametrize(
    ("version", "attributes", "refused"),
    [("1.1", *each) for each in MANDATORY_11] + [("1.2", *each) for each in MANDATORY_12],
)
def test_mandatory_headers_for_this_node_are_found(version, attributes, refused):
    """PROTOCOLS S5."""
    found = not_understood(opened(envelope(GET_7, version, f'<h:a xmlns:h="urn:h" {attributes}/>')))
    assert [name.text for name in found] == (["{urn:h}a"] if refused else [])


def test_a_must_understand_that_is_no_boolean_is_refused():
    parsed = opened(envelope(GET_7, "1.1", '<h:a xmlns:h="urn:h" e:mustUnderstand="maybe"/>'))
    with pytest.raises(MalformedEnvelope, match="mustUnderstand"):
        not_understood(parsed)


def outcome(data: bytes) -> int:
    """200, or the status of the problem; any other exception escapes."""
    try:
        opened(in_utf8(data, None)[0])
    except Problem as problem:
        return problem.status
    return 200


@given(st.binary(max_size=200))
def test_random_bytes_never_break_the_reader(data):
    assert outcome(data) in (200, 400, 415, 500)


@given(st.text(max_size=100))
def test_random_text_in_an_envelope_never_breaks_the_reader(text):
    assert outcome(envelope(text.encode("utf-8", "replace").decode())) in (200, 400)
