"""The scanner of XML limits agrees with a slow parser (CASES B50)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from gateway.schema.xml_scan import XmlLimits, scan

LIMITS = XmlLimits(depth=3, nodes=12, children=3, attributes=2, namespaces=1, name=3, value=4, text=5)
XMLNS = "http://www.w3.org/2000/xmlns/"


def slowly(data: bytes, limits: XmlLimits) -> bool:
    """Whether the document is sound: by lxml's tree."""
    try:
        root = etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError:
        return False
    if root.getroottree().docinfo.doctype or list(root.xpath("//processing-instruction()")):
        return False
    elements = list(root.iter("*"))
    names = [element.tag for element in elements] + [name for each in elements for name in each.attrib]
    texts = root.xpath("count(//text())")
    nodes = len(elements) + sum(len(each.attrib) for each in elements) + texts + root.xpath("count(//comment())")
    return (
        nodes <= limits.nodes
        and all(len(str(name)) <= limits.name for name in names)
        and all(len(list(each.iterancestors())) < limits.depth for each in elements)
        and all(len(each.xpath("*")) <= limits.children for each in elements)
        and all(len(each.attrib) <= limits.attributes for each in elements)
        and all(len(value) <= limits.value for each in elements for value in each.attrib.values())
        and all(len("".join(each.xpath("text()"))) <= limits.text for each in elements)
    )


names = st.text(alphabet="abc", min_size=1, max_size=4)
texts = st.text(alphabet="xy\u00e4 &<", max_size=4)


@st.composite
def trees(draw: st.DrawFn, depth: int = 0) -> etree._Element:
    element = etree.Element(draw(names))
    for name in draw(st.lists(names, max_size=3, unique=True)):
        element.set(name, draw(st.text(alphabet='x"\n', max_size=5)))
    element.text = draw(texts)
    for _ in range(draw(st.integers(0, 4)) if depth < 4 else 0):
        child = draw(st.just(None) | st.builds(etree.Comment, st.just("c"))) if draw(st.booleans()) else None
        element.append(draw(trees(depth + 1)) if child is None else child)
        element[-1].tail = draw(texts)
    return element


@given(trees())
def test_whatever_a_writer_makes_is_judged_as_the_slow_parser_does(tree: etree._Element) -> None:
    data = etree.tostring(tree, encoding="utf-8")
    assert (scan(data, LIMITS) is None) == slowly(data, LIMITS)


PIECES = ["<a>", "</a>", "<b/>", "<a x='1'>", "<a x='1' x='2'/>", "text", "&amp;", "&x;", "<!--c-->", "<?p i?>", "]]>"]
PIECES += ["<!DOCTYPE a>", "<![CDATA[<]]>", "<", "&#0;", "&#65;", " ", "\u00e4", "<a", ">", "<?xml version='1.0'?>"]


@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
def test_whatever_pieces_are_put_together_are_judged_as_the_slow_parser_does(text: str) -> None:
    data = text.encode()
    assert (scan(data, LIMITS) is None) == slowly(data, LIMITS)


@given(st.binary(max_size=40))
def test_bytes_of_any_kind_are_judged(data: bytes) -> None:
    assert scan(b"<a>" + data, LIMITS) is not None


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("<a><b><c><d/></c></b></a>", "/a/b/c", "elements are nested deeper than 3 levels"),
        ("<a><b/><b/><b/><b/></a>", "/a", "has more than 3 children"),
        ("<a><b x='1' y='2' z='3'/></a>", "/a/b", "has more than 2 attributes"),
        ("<a xmlns:x='u:x' xmlns:y='u:y'/>", "/a", "declares more than 1 namespaces"),
        ("<a><b x='12345'/></a>", "/a/b", "has an attribute with more than 4 characters"),
        ("<a>123<!---->456</a>", "/a", "has a text with more than 5 characters"),
        ("<a><abcd/></a>", "/a", "holds a name with more than 3 characters"),
        ("<a><b></a>", "/a/b", "is not well-formed XML"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><a/>", "/", "holds a document type declaration"),
        ("<a><?p i?></a>", "/a", "holds the processing instruction 'p'"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, place: str, message: str) -> None:
    found = scan(text.encode(), LIMITS)
    assert found is not None
    assert (found.target, found.message.startswith(message)) == (place, True)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_a_document_type_is_refused_in_every_encoding(encoding: str) -> None:
    data = f"<?xml version='1.0' encoding='{encoding}'?><!DOCTYPE a><a/>".encode(encoding)
    found = scan(data, XmlLimits())
    assert found is not None
    assert "DOCTYPE" in found.message


@pytest.mark.parametrize("data", [b"<a>" * 100_000, b"<a " + b"x" * 2_000_000, b"<a>" + b"<b/>" * 200_000, b"<!--" * 9])
def test_hostile_documents_are_refused(data: bytes) -> None:
    assert scan(data, XmlLimits()) is not None
