"""XSD of records, exactly as `schema/xml_codec` reads and writes them: a sequence of qualified elements.

An optional field may be missing (`minOccurs="0"`), a nullable one may say `xsi:nil="true"` (`nillable="true"`).
Named types are referred to; facets and records without a name stand inside of the element that has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from lxml import etree

from gateway.frontend.soap.messages import is_name
from gateway.schema import xsd
from gateway.schema.types import AnyType, Array, Enumeration, Field, Record, Ref, Scalar, Type, Types

Element = etree._Element
XS: Final = "{http://www.w3.org/2001/XMLSchema}"


def declare(schema: Element, wrappers: Mapping[str, Record], types: Types) -> None:
    """Puts into `schema` the named types that the wrappers reach, and an element for each of the wrappers. References
    have the prefix `tns`. ValueError for a type whose name XML cannot have."""
    for name in _reached(wrappers.values(), types):
        if not is_name(name):
            raise ValueError(f"The type {name!r} cannot be named so in XML. Use letters, digits, _ - and dots.")
        _define(schema, types[name]).set("name", name)
    for name, record in wrappers.items():
        element = etree.SubElement(schema, f"{XS}element", name=name)
        _complex_type(element, record)


def _reached(records: Iterable[Record], types: Types) -> list[str]:
    """The names of all types that the records lead to, sorted."""
    found: set[str] = set()
    waiting: list[Type] = list(records)
    while waiting:
        type_ = waiting.pop()
        if isinstance(type_, Ref) and type_.name not in found:
            found.add(type_.name)
            waiting.append(types[type_.name])
        elif isinstance(type_, Array):
            waiting.append(type_.item)
        elif isinstance(type_, Record):
            waiting += [field.type for field in type_.fields]
    return sorted(found)


def _define(parent: Element, type_: Record | Enumeration) -> Element:
    return _complex_type(parent, type_) if isinstance(type_, Record) else _enumeration(parent, type_)


def _complex_type(parent: Element, record: Record) -> Element:
    complex_type = etree.SubElement(parent, f"{XS}complexType")
    sequence = etree.SubElement(complex_type, f"{XS}sequence")
    for field in record.fields:
        _field(sequence, field)
    return complex_type


def _field(sequence: Element, field: Field) -> None:
    element = etree.SubElement(sequence, f"{XS}element", name=field.name)
    if isinstance(field.type, Array):
        _repeated(element, field.type, field.required, field.nullable)
        return
    if not field.required:
        element.set("minOccurs", "0")
    _typed(element, field.type, field.nullable)


def _repeated(element: Element, array: Array, required: bool, nullable: bool) -> None:
    """A list: its element once per item. A null list is one element that is nil, whatever the number of items."""
    low, high = (array.min_items or 0) if required else 0, array.max_items
    if nullable:
        low, high = min(low, 1), None if high is None else max(high, 1)
    element.set("minOccurs", str(low))
    element.set("maxOccurs", "unbounded" if high is None else str(high))
    _typed(element, array.item, array.nullable_items or nullable)


def _typed(element: Element, type_: Type, nullable: bool) -> None:
    """The type of an element: a name, or what stands inside of it."""
    if nullable or isinstance(type_, AnyType):
        element.set("nillable", "true")
    if isinstance(type_, Ref):
        element.set("type", f"tns:{type_.name}")
    elif isinstance(type_, Scalar):
        _scalar(element, xsd.simple_type(type_))
    elif isinstance(type_, AnyType):
        element.set("type", "xs:string")
    elif isinstance(type_, Array):
        _items(element, type_)
    else:
        _define(element, type_)


def _items(element: Element, array: Array) -> None:
    """A list inside of a list: an element per item."""
    complex_type = etree.SubElement(element, f"{XS}complexType")
    sequence = etree.SubElement(complex_type, f"{XS}sequence")
    _field(sequence, Field("item", array))


def _scalar(element: Element, type_: xsd.XsdType) -> None:
    if not type_.facets:
        element.set("type", type_.base)
        return
    restriction = _restriction(element, type_.base)
    for name, value in type_.facets.items():
        etree.SubElement(restriction, f"{XS}{name}", value=value)


def _enumeration(parent: Element, type_: Enumeration) -> Element:
    restriction = _restriction(parent, "xs:string")
    for name in type_.names:
        etree.SubElement(restriction, f"{XS}enumeration", value=name)
    simple_type = restriction.getparent()
    assert simple_type is not None
    return simple_type


def _restriction(parent: Element, base: str) -> Element:
    simple_type = etree.SubElement(parent, f"{XS}simpleType")
    return etree.SubElement(simple_type, f"{XS}restriction", base=base)
