"""XML bodies read under limits: no document type, no entity, no file, no network, bounded in depth, elements and
attributes (CASES B50). Loaded only where a step reads XML."""

from __future__ import annotations

import codecs
import re
from typing import Final

from lxml import etree

from gateway.core.errors import InvalidInput
from gateway.schema.xml_parser import xml_parser

Element = etree._Element

MAX_DEPTH: Final = 128
MAX_ELEMENTS: Final = 50_000
MAX_ATTRIBUTES: Final = 256
MAX_NAMESPACES: Final = 64  # that one element declares: a stylesheet that copies elements looks at each for each

_DECLARATION: Final = re.compile(rb"""<\?xml\s[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["'][^>]*?\?>""")
_PROLOG: Final = re.compile(rb"(?:<\?xml\s[^>]*?\?>)?+(?:\s++|<!--(?:[^-]|-[^-])*+-->|<\?(?:[^?]|\?[^>])*+\?>)*+")
_READ: Final = frozenset(("utf-8", "ascii", "iso8859-1", "cp1252", "utf-16", "utf-16-le", "utf-16-be"))
_BOMS: Final = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))

_too_deep: Final = etree.XPath(f"boolean(/{'/'.join('*' * (MAX_DEPTH + 1))})")
_too_many: Final = etree.XPath(f"boolean(//*[@*[{MAX_ATTRIBUTES + 1}]])")


def parse(data: bytes, charset: str | None = None) -> Element:
    """The root element; comments and instructions are not kept. InvalidInput tells what is refused. `charset` is that
    of the Content-Type, which comes before the document's own (RFC 7303)."""
    data = _utf8(data, charset)
    if data.count(b"<") - data.count(b"</") > MAX_ELEMENTS:
        raise InvalidInput(f"The XML document may have {MAX_ELEMENTS} elements here.")
    prolog = _PROLOG.match(data)
    if data[prolog.end() : prolog.end() + 9] == b"<!DOCTYPE" if prolog else False:
        raise InvalidInput("An XML document with a document type declaration (DTD) is not read.")
    if _declares_too_many(data):
        raise InvalidInput(f"An XML element declares more than {MAX_NAMESPACES} namespaces.")
    root = _root(data)
    if root.getroottree().docinfo.doctype:
        raise InvalidInput("An XML document with a document type declaration (DTD) is not read.")
    if _too_deep(root):
        raise InvalidInput(f"The XML document is more than {MAX_DEPTH} elements deep.")
    if data.count(b"=") > MAX_ATTRIBUTES and _too_many(root):
        raise InvalidInput(f"An XML element has more than {MAX_ATTRIBUTES} attributes.")
    return root


def _declares_too_many(data: bytes) -> bool:
    """Also where a text says the word so often."""
    if data.count(b"xmlns") <= MAX_NAMESPACES:
        return False
    return max(part.count(b"xmlns") for part in data.split(b"<")) > MAX_NAMESPACES


def _root(data: bytes) -> Element:
    parser = xml_parser(encoding="utf-8", remove_comments=True, remove_pis=True, collect_ids=False)
    try:
        return etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        line, column = error.position
        reason = (error.msg or "unreadable").split(", line ", maxsplit=1)[0].strip().rstrip(".")
        raise InvalidInput(f"The body is not well-formed XML: {reason} (line {line}, column {column}).") from None
    except ValueError as error:
        raise InvalidInput(f"The body is not well-formed XML: {error}.") from None


def _utf8(data: bytes, charset: str | None) -> bytes:
    for mark, name in _BOMS:
        if data.startswith(mark):
            return data[3:] if name == "utf-8" else _recoded(data, name)
    if charset is None:
        declared = _DECLARATION.match(data)
        charset = declared[1].decode() if declared else "utf-8"
    return _recoded(data, charset)


def _recoded(data: bytes, charset: str) -> bytes:
    """In UTF-8; what the document itself says of its encoding is not listened to any more."""
    try:
        name = codecs.lookup(charset).name
    except LookupError:
        name = charset
    if name not in _READ:
        raise InvalidInput(f"XML in the encoding {charset[:40]!r} is not read; send UTF-8.")
    if name in ("utf-8", "ascii"):
        return data
    try:
        return data.decode(name).encode()
    except UnicodeError:
        raise InvalidInput(f"The body is not valid {name}.") from None


def serialise(root: Element) -> bytes:
    """The document in UTF-8, with its declaration."""
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")
