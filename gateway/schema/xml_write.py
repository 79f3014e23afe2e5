"""Canonical values to XML elements: the way back of `xml_codec`, which documents the form."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from lxml import etree

from gateway.schema.json_write import Unfit, checked, enumeration_writer, write_any
from gateway.schema.lexical import FORMATTERS
from gateway.schema.places import ROOT, Path
from gateway.schema.text import spelling
from gateway.schema.types import AnyType, Array, Enumeration, Field, Record, Ref, Scalar, Type, Types

XSI: Final = "{http://www.w3.org/2001/XMLSchema-instance}"
NIL: Final = f"{XSI}nil"

Element = etree._Element
Write = Callable[[Element, str, Any, Path], None]
WriteParts = Callable[[Element, Any, Path], None]
_ABSENT: Final = object()


def qualify(namespace: str, name: str) -> str:
    """A tag as lxml takes it. ValueError for a name that no XML element can have."""
    try:
        return str(etree.QName(namespace or None, name).text)
    except ValueError:
        raise ValueError(f"{name!r} cannot be the name of an XML element") from None


def element_writer(type_: Type, nullable: bool, types: Types, namespace: str) -> Callable[[Element, str, Any], None]:
    """A function that appends an element with the given tag (`{namespace}name`) to a parent. InternalError when the
    value does not fit; ValueError at once for a field that XML cannot name."""
    write = _Compiler(types, namespace).compile(type_, nullable)

    def write_element(parent: Element, tag: str, value: Any) -> None:
        try:
            write(parent, tag, value, ROOT)
        except Unfit as unfit:
            raise unfit.problem() from unfit

    return write_element


def record_writer(record: Record, types: Types, namespace: str) -> Callable[[Element, dict[str, Any]], None]:
    """A function that appends a record's fields to a wrapper element."""
    write = _Compiler(types, namespace).record(record)

    def write_fields(wrapper: Element, value: dict[str, Any]) -> None:
        try:
            write(wrapper, value, ROOT)
        except Unfit as unfit:
            raise unfit.problem() from unfit

    return write_fields


@dataclass(frozen=True, slots=True)
class _Part:
    """A field, ready to write. `many`: its element is repeated."""

    name: str
    tag: str
    write: Write
    required: bool
    many: bool = False
    low: float = 0
    high: float = 1
    nullable: bool = False

    def put(self, parent: Element, value: Any, place: Path) -> None:
        if not self.many:
            self.write(parent, self.tag, value, place)
        elif value is None and self.nullable:
            etree.SubElement(parent, self.tag).set(NIL, "true")
        else:
            self.items(parent, value, place)

    def items(self, parent: Element, value: Any, place: Path) -> None:
        if not isinstance(value, list | tuple):
            raise Unfit(place, "must be a list")
        if not self.low <= len(value) <= self.high:
            raise Unfit(place, f"must have {self.low} to {self.high} items")
        for at, item in enumerate(value):
            self.write(parent, self.tag, item, (place, at))


class _Compiler:
    """Compiles each named type once; a type that contains itself reaches its own writer through `writers`."""

    def __init__(self, types: Types, namespace: str) -> None:
        self.types = types
        self.namespace = namespace
        self.writers: dict[str, Write | None] = {}

    def compile(self, type_: Type, nullable: bool) -> Write:
        write = self.plain(type_)
        if not nullable or isinstance(type_, AnyType):
            return write

        def write_or_nil(parent: Element, tag: str, value: Any, path: Path) -> None:
            if value is None:
                etree.SubElement(parent, tag).set(NIL, "true")
            else:
                write(parent, tag, value, path)

        return write_or_nil

    def plain(self, type_: Type) -> Write:
        if isinstance(type_, Array):
            return self.array(type_)
        if isinstance(type_, Record):
            return _around(self.record(type_))
        if isinstance(type_, Ref):
            return self.reference(type_.name)
        return _leaf(type_)

    def reference(self, name: str) -> Write:
        if name not in self.writers:
            self.writers[name] = None
            self.writers[name] = self.plain(self.types[name])
        known = self.writers[name]
        if known is not None:
            return known
        return lambda parent, tag, value, path: self.writers[name](parent, tag, value, path)  # type: ignore[misc]  # noqa: PLW0108

    def array(self, array: Array) -> Write:
        return _around(self.part(Field("item", array)).items)

    def part(self, field: Field) -> _Part:
        type_, tag = field.type, qualify(self.namespace, field.name)
        if not isinstance(type_, Array):
            return _Part(field.name, tag, self.compile(type_, field.nullable), field.required)
        return _Part(
            field.name,
            tag,
            self.compile(type_.item, type_.nullable_items),
            field.required,
            True,
            type_.min_items or 0,
            math.inf if type_.max_items is None else type_.max_items,
            field.nullable,
        )

    def record(self, record: Record) -> WriteParts:
        parts = tuple(self.part(field) for field in record.fields)
        names = frozenset(part.name for part in parts)

        def write(wrapper: Element, value: Any, path: Path) -> None:
            if not isinstance(value, dict):
                raise Unfit(path, "must be an object")
            for part in parts:
                item = value.get(part.name, _ABSENT)
                if item is not _ABSENT:
                    part.put(wrapper, item, (path, part.name))
                elif part.required:
                    raise Unfit((path, part.name), "is required")
            if not names.issuperset(value):
                extra = next(key for key in value if key not in names)
                raise Unfit((path, str(extra)), "is not a known field")

        return write


def _around(write_parts: WriteParts) -> Write:
    def write(parent: Element, tag: str, value: Any, path: Path) -> None:
        write_parts(etree.SubElement(parent, tag), value, path)

    return write


def _leaf(type_: Scalar | Enumeration | AnyType) -> Write:
    if isinstance(type_, Scalar):
        fit = checked(type_, FORMATTERS[type_.kind])
    else:
        fit = enumeration_writer(type_) if isinstance(type_, Enumeration) else write_any
    spell = spelling(type_, names=True)

    def write(parent: Element, tag: str, value: Any, path: Path) -> None:
        text = spell(fit(value, path))
        try:
            etree.SubElement(parent, tag).text = text
        except ValueError:
            raise Unfit(path, "must not hold a character that XML cannot carry") from None

    return write
