"""JSON as XML and XML as JSON: the two conventions, alone."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from gateway.core.errors import InvalidInput
from gateway.policy.content import xml_reading
from gateway.policy.transforming import xml_json_typed
from gateway.policy.transforming.xml_json_plain import Plain
from gateway.schema.json_exact import dumps
from gateway.schema.json_loads import loads

NAME = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,8}", fullmatch=True)
TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters="\ufffe\uffff", exclude_categories=("Cs", "Cc")), max_size=12
)
ANY_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
NUMBER = st.one_of(
    st.integers(-(10**30), 10**30), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.none()
)
JSON = st.recursive(
    st.one_of(ANY_TEXT, NUMBER),
    lambda parts: st.one_of(st.lists(parts, max_size=4), st.dictionaries(ANY_TEXT, parts, max_size=4)),
    max_leaves=20,
)


def again(root: Any) -> Any:
    """Written out and read."""
    return xml_reading.parse(xml_reading.serialise(root))


@given(JSON)
def test_what_is_written_by_the_typed_convention_reads_back_the_same(value: Any) -> None:
    assert dumps(xml_json_typed.to_json(again(xml_json_typed.to_xml(value)))) == dumps(value)


PLAIN = st.recursive(
    TEXT,
    lambda parts: st.dictionaries(
        NAME, st.one_of(parts, st.lists(parts, min_size=2, max_size=3)), min_size=1, max_size=3
    ),
    max_leaves=12,
)


@given(NAME, PLAIN)
def test_texts_in_objects_and_lists_read_back_the_same_by_the_plain_convention(name: str, value: Any) -> None:
    plain = Plain()
    assert plain.to_json(again(plain.to_xml({name: value}))) == {name: value}


@st.composite
def elements(draw: st.DrawFn, depth: int = 3) -> Any:
    """An element with siblings of one name side by side, as JSON cannot tell their order otherwise."""
    element = etree.Element(draw(st.sampled_from(["{urn:a}x", "y", "{urn:b}z"])), nsmap={"a": "urn:a", "b": "urn:b"})
    for name in draw(st.sets(st.sampled_from(["p", "{urn:a}q"]))):
        element.set(name, draw(TEXT))
    children = draw(st.lists(elements(depth - 1), max_size=3)) if depth else []
    for child in sorted(children, key=lambda each: str(each.tag)):
        element.append(child)
    if not children:
        element.text = draw(TEXT)
    return element


@given(elements())
@settings(max_examples=60)
def test_xml_reads_back_the_same_by_the_plain_convention(root: Any) -> None:
    plain = Plain({"a": "urn:a", "b": "urn:b"})
    value = plain.to_json(again(root))
    assert etree.tostring(plain.to_xml(value), method="c14n2") == etree.tostring(root, method="c14n2")


def test_attributes_texts_lists_and_nulls_are_written_by_the_plain_convention() -> None:
    plain = Plain({"": "urn:shop", "p": "urn:parts"}, root="order")
    root = plain.to_xml({"@id": 7, "line": [{"#text": "a", "@n": True}, None], "p:total": Decimal("1.10"), "empty": ""})
    assert etree.tostring(root).decode() == (
        '<order xmlns="urn:shop" xmlns:p="urn:parts" id="7"><line n="true">a</line>'
        '<line xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:nil="true"/>'
        "<p:total>1.10</p:total><empty></empty></order>"
    )


def test_big_numbers_keep_their_digits() -> None:
    value = loads(b'{"n":{"i":123456789012345678901234567890,"d":1.123456789012345678901}}')
    assert again(Plain().to_xml(value)).findtext("i") == "123456789012345678901234567890"
    assert again(Plain().to_xml(value)).findtext("d") == "1.123456789012345678901"
    assert dumps(value) == b'{"n":{"i":123456789012345678901234567890,"d":1.123456789012345678901}}'


def test_names_in_arrays_are_lists_however_often_they_occur() -> None:
    plain = Plain(arrays=frozenset(("line",)))
    assert plain.to_json(xml_reading.parse(b"<o><line>1</line></o>")) == {"o": {"line": ["1"]}}


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ([1], "$"),
        ({"a": 1, "b": 2}, "$"),
        ({"a": [1]}, "$.a"),
        ({"a": {"b": [[1]]}}, "$.a.b[0]"),
        ({"a": {"1b": 1}}, "$.a['1b']"),
        ({"a": {"x:b": 1}}, "$.a['x:b']"),
        ({"a": {"b": "\x00"}}, "$.a.b"),
        ({"a": {"#text": "x", "b": 1}}, "$.a.b"),
        ({"a": {"b": 1, "#text": "x"}}, "$.a['#text']"),
        ({"a": {"@b": {}}}, "$.a['@b']"),
        ({"a": {"@xsi:nil": True}}, "$.a['@xsi:nil']"),
    ],
)
def test_what_xml_cannot_hold_is_refused_with_its_place(value: Any, place: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        Plain().to_xml(value)
    assert refused.value.target == place


@pytest.mark.parametrize(
    "document", [b"<a>x<b/></a>", b"<a><b/>x</a>", b'<a xmlns="urn:x"/>', b'<a xmlns:p="urn:x" p:b="1"/>']
)
def test_what_json_would_lose_is_refused(document: bytes) -> None:
    with pytest.raises(InvalidInput):
        Plain().to_json(xml_reading.parse(document))


@pytest.mark.parametrize(
    "document",
    [
        b"<!DOCTYPE a><a/>",
        b'<!-- x --><!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><a>&e;</a>',
        b"<?pi x?><!DOCTYPE a><a/>",
        b"<a>" * 200 + b"</a>" * 200,
        b"<a>" + b"<b/>" * 60_000 + b"</a>",
        b"<a " + b" ".join(b'b%d=""' % at for at in range(300)) + b"/>",
        b"<a>&e;</a>",
        b"<a",
        b"",
        b'<?xml version="1.0" encoding="utf-7"?><a/>',
        "<!DOCTYPE a><a/>".encode("utf-16"),
    ],
)
def test_xml_that_is_dangerous_or_broken_is_refused(document: bytes) -> None:
    """CASES B50"""
    with pytest.raises(InvalidInput):
        xml_reading.parse(document)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
def test_xml_is_read_in_its_encoding(encoding: str) -> None:
    document = f'<?xml version="1.0" encoding="{encoding}"?><a>\u00e9</a>'.encode(encoding)
    assert xml_reading.parse(document).text == "\u00e9"


@pytest.mark.parametrize(
    "document",
    [
        "<x/>",
        "<map><string/></map>",
        '<map><string key="a"/><null key="a"/></map>',
        "<number>01</number>",
        "<number>NaN</number>",
        "<boolean>yes</boolean>",
        "<null>x</null>",
        "<array>x</array>",
        '<string escaped="true">\\q</string>',
    ],
)
def test_xml_that_is_no_json_is_refused_by_the_typed_convention(document: str) -> None:
    root = xml_reading.parse(f'<r xmlns="{xml_json_typed.NAMESPACE}">{document}</r>'.encode())[0]
    with pytest.raises(InvalidInput):
        xml_json_typed.to_json(root)
