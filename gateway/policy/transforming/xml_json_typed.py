"""JSON and XML, the convention `typed`: the elements of XPath and XQuery Functions 3.1 section 22.1, the namespace
`http://www.w3.org/2005/xpath-functions`, which XSLT 3.0 and XQuery processors read by `xml-to-json`.

| JSON | XML |
|---|---|
| object, list | `<map>`, `<array>` |
| string, number, true and false, null | `<string>`, `<number>`, `<boolean>`, `<null/>` |
| a member's name | `key="…"` on its element |
| a character that XML cannot hold | a backslash escape, with `escaped="true"` (`escaped-key="true"`) |

Nothing of a JSON value is lost, and the way back gives the same value.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final

from lxml import etree

from gateway.core.errors import InvalidInput
from gateway.schema.json_exact import dumps
from gateway.schema.json_loads import loads
from gateway.schema.places import ROOT, Path, render

Element = etree._Element

NAMESPACE: Final = "http://www.w3.org/2005/xpath-functions"
_UNFIT: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff\\\\]")
_FORBIDDEN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_SPACE: Final = " \t\r\n"
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_MAKE: Final = {name: f"{{{NAMESPACE}}}{name}" for name in ("map", "array", "string", "number", "boolean", "null")}
_OF_TAG: Final = {tag: name for name, tag in _MAKE.items()}
_TRUE: Final = ("true", "1")
_FALSE: Final = ("false", "0")


# JSON to XML


def to_xml(value: Any) -> Element:
    root = etree.Element(_MAKE[_name(value)], nsmap={None: NAMESPACE})
    _fill(root, value)
    return root


def _name(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int | float | Decimal):
        return "number"
    return "map" if isinstance(value, dict) else "array"


def _fill(element: Element, value: Any) -> None:
    if isinstance(value, dict):
        for key, part in value.items():
            child = etree.SubElement(element, _MAKE[_name(part)])
            text, escaped = _escaped(key)
            child.set("key", text)
            if escaped:
                child.set("escaped-key", "true")
            _fill(child, part)
    elif isinstance(value, list | tuple):
        for part in value:
            _fill(etree.SubElement(element, _MAKE[_name(part)]), part)
    elif isinstance(value, str):
        element.text, escaped = _escaped(value)
        if escaped:
            element.set("escaped", "true")
    elif value is not None:
        element.text = dumps(value).decode()


def _escaped(text: str) -> tuple[str, bool]:
    """Escaped only where a character cannot stand for itself: a backslash alone needs none."""
    if _FORBIDDEN.search(text) is None:
        return text, False
    return _UNFIT.sub(lambda match: "\\\\" if match[0] == "\\" else f"\\u{ord(match[0]):04x}", text), True


# XML to JSON


def to_json(root: Element) -> Any:
    """InvalidInput names the place that is not as the recommendation has it."""
    return _read(root, ROOT)


def _wrong(path: Path, message: str) -> InvalidInput:
    place = render(path)
    return InvalidInput(f"The body is not JSON written as XML: {place} {message}.", target=place)


def _read(element: Element, path: Path) -> Any:
    name = _OF_TAG.get(str(element.tag))
    if name is None:
        raise _wrong(path, f"is {etree.QName(element).localname[:40]!r}, no element of the namespace {NAMESPACE}")
    if name == "map":
        return _map(element, path)
    if name == "array":
        _only_elements(element, path)
        return [_read(child, (path, at)) for at, child in enumerate(element)]
    if len(element):
        raise _wrong(path, "must not have elements in it")
    return _scalar(name, element, path)


def _map(element: Element, path: Path) -> dict[str, Any]:
    _only_elements(element, path)
    members: dict[str, Any] = {}
    for child in element:
        key = child.get("key")
        if key is None:
            raise _wrong(path, "has an element without a key")
        if _flag(child, "escaped-key", path):
            key = _unescaped(key, path)
        if key in members:
            raise _wrong(path, f"has the key {key[:100]!r} twice")
        members[key] = _read(child, (path, key))
    return members


def _only_elements(element: Element, path: Path) -> None:
    texts = [element.text, *(child.tail for child in element)]
    if any(text and text.strip(_SPACE) for text in texts):
        raise _wrong(path, "has text between its elements")


def _scalar(name: str, element: Element, path: Path) -> Any:
    text = element.text or ""
    if name == "string":
        return _unescaped(text, path) if _flag(element, "escaped", path) else text
    text = text.strip(_SPACE)
    if name == "number":
        if _NUMBER.fullmatch(text) is None:
            raise _wrong(path, "must be a number as JSON writes it")
        return loads(text.encode())
    if name == "null":
        if text:
            raise _wrong(path, "must be empty")
        return None
    if text not in (*_TRUE, *_FALSE):
        raise _wrong(path, "must be true or false")
    return text in _TRUE


def _flag(element: Element, name: str, path: Path) -> bool:
    text = element.get(name, "false").strip(_SPACE)
    if text not in (*_TRUE, *_FALSE):
        raise _wrong(path, f"has {name}, which must be true or false")
    return text in _TRUE


_QUOTE: Final = re.compile(r'\\.|"', re.DOTALL)


def _unescaped(text: str, path: Path) -> str:
    """A JSON string's escapes; a quote may stand for itself."""
    quoted = _QUOTE.sub(lambda match: '\\"' if match[0] == '"' else match[0], text)
    quoted = quoted.replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
    try:
        value = loads(f'"{quoted}"'.encode())
    except InvalidInput:
        raise _wrong(path, "holds a backslash escape that JSON does not have") from None
    return str(value)
