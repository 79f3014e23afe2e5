"""JSON and XML, the convention `plain`: what people expect of a document with elements for its members.

| XML | JSON |
|---|---|
| an element | a member of its parent's object; the root the only member of the outermost object |
| an element that occurs again, or is named in `arrays` | a list |
| an attribute | a member `@name` |
| text of an element without attributes and children | the member's value, a string |
| text beside attributes | a member `#text` |
| an empty element | an empty string; with `xsi:nil="true"`: null |
| a namespace | a prefix: of `namespaces`, by which it is written; one that is not listed there is refused |

What would be lost is refused: mixed content (text between elements), and names that XML cannot have. What JSON
cannot tell is documented: the order of elements with different names, comments, and whether text was a number.
Numbers, `true`, `false` become text with their digits as they were; lists of lists are refused, as XML has no such
thing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from lxml import etree

from gateway.core.errors import InvalidInput
from gateway.schema.json_exact import text_of
from gateway.schema.places import ROOT, Path, render

Element = etree._Element

XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
NIL: Final = f"{{{XSI}}}nil"
_SPACE: Final = " \t\r\n"
_XML_NAMESPACE: Final = "http://www.w3.org/XML/1998/namespace"
_SCALARS: Final = (str, int, float, Decimal, type(None))


class _Wrong(Exception):
    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path = path


def _refused(wrong: _Wrong, what: str) -> InvalidInput:
    place = render(wrong.path)
    return InvalidInput(f"The body cannot be written as {what}: {place} {wrong}.", target=place)


@dataclass(frozen=True, slots=True)
class Plain:
    """`namespaces` by prefix; the empty prefix is the namespace of names without one. `root` wraps values that are no
    object with one member. `arrays` are the names of members that are always lists."""

    namespaces: Mapping[str, str] = field(default_factory=dict)
    arrays: frozenset[str] = frozenset()
    root: str | None = None
    item: str = "item"

    # JSON to XML

    def to_xml(self, value: Any) -> Element:
        """InvalidInput names the place that XML cannot hold."""
        try:
            return self._document(value)
        except _Wrong as wrong:
            raise _refused(wrong, "XML") from None

    def _document(self, value: Any) -> Element:
        if self.root is not None:
            name, content = self.root, {self.item: value} if isinstance(value, list) else value
        elif isinstance(value, dict) and len(value) == 1:
            name, content = next(iter(value.items()))
        else:
            raise _Wrong(ROOT, "must be an object with one member, which becomes the root element (or set `root`)")
        if isinstance(content, list):
            raise _Wrong((ROOT, name), "is a list, and a document has one root element (or set `root`)")
        root = etree.Element(self._tag(name, ROOT), nsmap=self._nsmap())
        self._fill(root, content, (ROOT, name))
        return root

    def _nsmap(self) -> dict[str | None, str]:
        return {prefix or None: uri for prefix, uri in self.namespaces.items()}

    def _fill(self, element: Element, value: Any, path: Path) -> None:
        if isinstance(value, dict):
            for name, part in value.items():
                self._member(element, name, part, (path, name))
        elif value is None:
            element.set(NIL, "true")
        elif isinstance(value, list):
            raise _Wrong(path, "is a list in a list, which XML cannot hold")
        else:
            self._text(element, value, path)

    def _member(self, element: Element, name: str, value: Any, path: Path) -> None:
        if name == "#text":
            if len(element):
                raise _Wrong(path, "stands beside elements; mixed content is not written")
            self._text(element, value, path)
        elif name.startswith("@"):
            self._attribute(element, name[1:], value, path)
        else:
            if element.text:
                raise _Wrong(path, "stands beside text; mixed content is not written")
            for at, part in enumerate(value) if isinstance(value, list) else ((-1, value),):
                place = path if at < 0 else (path, at)
                child = etree.SubElement(element, self._tag(name, place))
                self._fill(child, part, place)

    def _text(self, element: Element, value: Any, path: Path) -> None:
        if not isinstance(value, _SCALARS):
            raise _Wrong(path, "must be text or a number")
        try:
            element.text = text_of(value)
        except ValueError:
            raise _Wrong(path, "holds a character that XML cannot") from None

    def _attribute(self, element: Element, name: str, value: Any, path: Path) -> None:
        if not isinstance(value, _SCALARS):
            raise _Wrong(path, "is an attribute, so it must be text or a number")
        tag = self._tag(name, path, attribute=True)
        if tag == NIL:
            raise _Wrong(path, "is how null is written; write null")
        try:
            element.set(tag, text_of(value))
        except ValueError:
            raise _Wrong(path, "holds a character that XML cannot") from None

    def _tag(self, name: str, path: Path, attribute: bool = False) -> str:
        prefix, colon, local = name.partition(":")
        uri: str | None = None
        if colon:
            uri = {"xsi": XSI, "xml": _XML_NAMESPACE, **self.namespaces}.get(prefix) if prefix else None
            if uri is None:
                raise _Wrong(path, f"has the prefix {prefix[:40]!r}, which `namespaces` does not list")
        else:
            local = name
            uri = None if attribute else self.namespaces.get("") or None
        try:
            return str(etree.QName(uri, local).text)
        except ValueError:
            raise _Wrong(path, "has a name that no XML element can have") from None

    # XML to JSON

    def to_json(self, root: Element) -> dict[str, Any]:
        """InvalidInput names the place that the convention cannot hold."""
        try:
            name = self._name(root.tag, ROOT)
            value = self._value(root, (ROOT, name))
        except _Wrong as wrong:
            raise _refused(wrong, "JSON") from None
        return {name: [value] if name in self.arrays else value}

    def _value(self, element: Element, path: Path) -> Any:
        attributes = dict(self._attributes(element, path))
        text = element.text or ""
        if len(element):
            if any(part.strip(_SPACE) for part in (text, *(child.tail or "" for child in element))):
                raise _Wrong(path, "has text between its elements; mixed content is not read")
            return attributes | self._members(element, path)
        if element.get(NIL, "").strip(_SPACE) in ("true", "1"):
            if text or attributes:
                raise _Wrong(path, "is nil and yet has content")
            return None
        if not attributes:
            return text
        return attributes | {"#text": text} if text else attributes

    def _members(self, element: Element, path: Path) -> dict[str, Any]:
        members: dict[str, Any] = {}
        many: set[str] = set()
        for child in element:
            name = self._name(child.tag, path)
            value = self._value(child, (path, name))
            if name not in members:
                members[name] = [value] if name in self.arrays else value
            elif name in self.arrays or name in many:
                members[name].append(value)
            else:
                members[name] = [members[name], value]
                many.add(name)
        return members

    def _attributes(self, element: Element, path: Path) -> Iterator[tuple[str, str]]:
        for tag, text in element.attrib.items():
            if tag != NIL:
                yield f"@{self._name(str(tag), path, attribute=True)}", str(text)

    def _name(self, tag: Any, path: Path, attribute: bool = False) -> str:
        name = etree.QName(tag)
        uri = name.namespace
        if uri is None:
            if not attribute and self.namespaces.get(""):
                raise _Wrong(path, f"has the element {name.localname}, which is in no namespace")
            return name.localname
        if uri in (XSI, _XML_NAMESPACE):
            return f"{'xsi' if uri == XSI else 'xml'}:{name.localname}"
        for prefix, known in self.namespaces.items():
            if known == uri and (prefix or not attribute):
                return f"{prefix}:{name.localname}" if prefix else name.localname
        raise _Wrong(path, f"has the name {name.localname} in a namespace that `namespaces` does not list")
