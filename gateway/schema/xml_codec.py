"""XML elements to canonical values: document/literal wrapped, every element qualified (PROTOCOLS S7).

| type | XML |
|---|---|
| scalar, enumeration, any JSON | the element's text; an enumeration's member by its name, any JSON as its JSON text |
| record | one child element per field, in the record's order |
| list, as a field | the field's element repeated |
| list elsewhere (in a list, as a whole value) | one element with children named `item` |
| null | the element, empty, with `xsi:nil="true"` |
| an absent optional field | no element |

Two things XML cannot tell apart: an optional list without items is read as absent, and a list that may be null and
whose only item is null is read as null. What is unknown, misplaced or out of order is refused with its place, written
as for JSON (`$.lines[2].sku`). `xml_write` is the way back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lxml import etree

from gateway.core.errors import Detail, InvalidInput
from gateway.schema.places import MAX_DETAILS, ROOT, Path, wrong
from gateway.schema.text import text_reader
from gateway.schema.types import AnyType, Array, Enumeration, Field, Record, Ref, Scalar, Type, Types
from gateway.schema.xml_write import NIL, XSI, element_writer, qualify, record_writer

__all__ = ["element_reader", "element_writer", "record_reader", "record_writer"]

Element = etree._Element
Read = Callable[[Element, Path, list[Detail]], Any]
_SPACE: Final = " \t\r\n"
_NOTHING: Final = object()


def element_reader(type_: Type, nullable: bool, types: Types, namespace: str) -> Callable[[Element, str], Any]:
    """A function from (element, its place such as `$` or `$.order`) to the canonical value. The element's own name is
    not looked at. InvalidInput lists everything that is wrong; ValueError at once for a field that XML cannot name."""
    return _public(_Compiler(types, namespace).compile(type_, nullable))


def record_reader(record: Record, types: Types, namespace: str) -> Callable[[Element, str], dict[str, Any]]:
    """The same over the children of a wrapper element."""
    return _public(_Compiler(types, namespace).record(record))


def _public(read: Read) -> Callable[[Element, str], Any]:
    def read_element(element: Element, path: str = "$") -> Any:
        errors: list[Detail] = []
        value = read(element, ROOT, errors)
        if not errors:
            return value
        details = [Detail(path + each.target[1:], each.message, each.code) for each in errors]
        more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
        text = f"{details[0].target} {details[0].message}{more}."
        raise InvalidInput(text, target=details[0].target, details=details)

    return read_element


@dataclass(frozen=True, slots=True)
class _Part:
    """A field, ready to read. `many`: its element is repeated."""

    name: str
    read: Read
    required: bool
    default: Any
    many: bool = False
    low: float = 0
    high: float = 1
    nullable: bool = False

    def value(self, elements: Sequence[Element], path: Path, errors: list[Detail]) -> Any:
        place = (path, self.name)
        if self.many:
            return self.items(elements, place, errors)
        if not elements:
            return self.absent(place, errors)
        if len(elements) > 1:
            errors.append(wrong(place, "must not occur more than once"))
        return self.read(elements[0], place, errors)

    def items(self, elements: Sequence[Element], place: Path, errors: list[Detail]) -> Any:
        if not elements and not self.required:
            return _NOTHING if self.default is None else list(self.default)
        if self.nullable and len(elements) == 1 and _is_nil(elements[0]):
            return None
        if not self.low <= len(elements) <= self.high:
            limit = f"at least {self.low}" if len(elements) < self.low else f"at most {self.high}"
            errors.append(wrong(place, f"must occur {limit} times"))
            return None
        return [self.read(element, (place, at), errors) for at, element in enumerate(elements)]

    def absent(self, place: Path, errors: list[Detail]) -> Any:
        if self.required:
            errors.append(wrong(place, "is required", "required"))
        return _NOTHING if self.default is None else self.default


class _Compiler:
    """Compiles each named type once; a type that contains itself reaches its own reader through `readers`."""

    def __init__(self, types: Types, namespace: str) -> None:
        self.types = types
        self.namespace = namespace
        self.readers: dict[str, Read | None] = {}

    def compile(self, type_: Type, nullable: bool) -> Read:
        return _nillable(self.plain(type_), nullable or isinstance(type_, AnyType))

    def plain(self, type_: Type) -> Read:
        if isinstance(type_, Array):
            return self.array(type_)
        if isinstance(type_, Record):
            return self.record(type_)
        if isinstance(type_, Ref):
            return self.reference(type_.name)
        return _leaf(type_, self.types)

    def reference(self, name: str) -> Read:
        if name not in self.readers:
            self.readers[name] = None
            self.readers[name] = self.plain(self.types[name])
        known = self.readers[name]
        if known is not None:
            return known
        return lambda element, path, errors: self.readers[name](element, path, errors)  # type: ignore[misc]  # noqa: PLW0108

    def array(self, array: Array) -> Read:
        part = self.part(Field("item", array))
        read_parts = self.parts((part,))

        def read(element: Element, path: Path, errors: list[Detail]) -> Any:
            found = read_parts(element, path, errors)
            return part.items(found.get(0, ()), path, errors)

        return read

    def part(self, field: Field) -> _Part:
        type_ = field.type
        if not isinstance(type_, Array):
            read = self.compile(type_, field.nullable)
            return _Part(field.name, read, field.required, field.default)
        return _Part(
            field.name,
            self.compile(type_.item, type_.nullable_items),
            field.required,
            field.default,
            True,
            type_.min_items or 0,
            math.inf if type_.max_items is None else type_.max_items,
            field.nullable,
        )

    def record(self, record: Record) -> Read:
        parts = tuple(self.part(field) for field in record.fields)
        read_parts = self.parts(parts)

        def read(element: Element, path: Path, errors: list[Detail]) -> Any:
            found = read_parts(element, path, errors)
            result: dict[str, Any] = {}
            for at, part in enumerate(parts):
                value = part.value(found.get(at, ()), path, errors)
                if value is not _NOTHING:
                    result[part.name] = value
                if len(errors) >= MAX_DETAILS:
                    break
            return result

        return read

    def parts(self, parts: Sequence[_Part]) -> Callable[[Element, Path, list[Detail]], dict[int, list[Element]]]:
        """Sorts an element's children to the fields by their place in the sequence."""
        places = {qualify(self.namespace, part.name): at for at, part in enumerate(parts)}

        def sort(element: Element, path: Path, errors: list[Detail]) -> dict[int, list[Element]]:
            _no_text(element, path, errors)
            found: dict[int, list[Element]] = {}
            current = 0
            for child in element.iterchildren(tag=etree.Element):
                at = places.get(str(child.tag))
                if at is None:
                    errors.append(self.unknown(child, path, parts))
                elif at < current:
                    before = parts[current].name
                    errors.append(wrong((path, parts[at].name), f"is out of order: it stands before {before}"))
                else:
                    current = at
                    found.setdefault(at, []).append(child)
                if len(errors) >= MAX_DETAILS:
                    break
            return found

        return sort

    def unknown(self, child: Element, path: Path, parts: Sequence[_Part]) -> Detail:
        name = etree.QName(child)
        place = (path, name.localname)
        if any(part.name == name.localname for part in parts):
            return wrong(
                place, f"must be in the namespace {self.namespace}, not {name.namespace or 'in none'}", "unknown"
            )
        known = ", ".join(part.name for part in parts) or "none"
        return wrong(place, f"is not a known element here (known, in this order: {known})", "unknown")


def _is_nil(element: Element) -> bool:
    return element.get(NIL, "").strip(_SPACE) in ("true", "1")


def _no_text(element: Element, path: Path, errors: list[Detail]) -> None:
    texts = [element.text, *(child.tail for child in element)]
    if any(text is not None and text.strip(_SPACE) for text in texts):
        errors.append(wrong(path, "must not have text between its elements"))
    _no_attributes(element, path, errors)


def _no_attributes(element: Element, path: Path, errors: list[Detail]) -> None:
    for name in element.attrib:
        if not str(name).startswith(XSI):
            errors.append(wrong(path, f"must not have the attribute {etree.QName(str(name)).localname}", "unknown"))


def _nillable(read: Read, nullable: bool) -> Read:
    def read_or_null(element: Element, path: Path, errors: list[Detail]) -> Any:
        if not element.attrib or not _is_nil(element):
            return read(element, path, errors)
        if not nullable:
            errors.append(wrong(path, "must not be nil"))
        elif len(element) or (element.text or "").strip(_SPACE):
            errors.append(wrong(path, "must be empty, as it is nil"))
        return None

    return read_or_null


def _leaf(type_: Scalar | Enumeration | AnyType, types: Types) -> Read:
    parse = text_reader(type_, types, special_floats=True, names=True)
    keep_space = isinstance(type_, Scalar) and type_.kind == "string"
    drop_space = isinstance(type_, Scalar) and type_.kind == "bytes"  # base64 may be broken into lines

    def read(element: Element, path: Path, errors: list[Detail]) -> Any:
        if element.attrib:
            _no_attributes(element, path, errors)
        text = element.text or ""
        if len(element):
            if next(element.iterchildren(tag=etree.Element), None) is not None:
                return errors.append(wrong(path, "must not have elements inside"))
            text += "".join(child.tail or "" for child in element)  # behind comments: the whole text counts
        if not keep_space:
            text = "".join(text.split()) if drop_space else text.strip(_SPACE)
        try:
            return parse(text)
        except ValueError as error:
            return errors.append(wrong(path, str(error)))

    return read
