"""XML Schemas of a WSDL as types of a manifest, as far as `schema/xml_codec` reads and writes them: sequences of
elements in one namespace. What goes beyond raises Untypable with the reason."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from lxml import etree

from gateway.manifest.imports.draft import Draft, identifier
from gateway.manifest.imports.keywords import Schema
from gateway.manifest.imports.source import Sources, label
from gateway.schema.enumerations import member_names
from gateway.schema.short import KINDS
from gateway.schema.types import ScalarKind
from gateway.schema.xsd import PATTERNS as OWN_PATTERNS

Element = etree._Element
QName = tuple[str, str]

XS: Final = "{http://www.w3.org/2001/XMLSchema}"
XSD: Final = XS[1:-1]
_TEXTS: Final = frozenset(
    ("string", "normalizedString", "token", "language", "Name", "NCName", "NMTOKEN", "ID", "IDREF", "anyURI", "QName",
     "NOTATION", "hexBinary", "gYear", "gYearMonth", "gMonth", "gMonthDay", "gDay", "NMTOKENS", "IDREFS", "ENTITY",
     "ENTITIES")
)  # fmt: skip
_WHOLE: Final[dict[str, Schema]] = {
    "boolean": {"type": "boolean"},
    "int": {"type": "integer", "format": "int32"},
    "short": {"type": "integer", "format": "int32", "minimum": -32768, "maximum": 32767},
    "byte": {"type": "integer", "format": "int32", "minimum": -128, "maximum": 127},
    "unsignedShort": {"type": "integer", "format": "int32", "minimum": 0, "maximum": 65535},
    "unsignedByte": {"type": "integer", "format": "int32", "minimum": 0, "maximum": 255},
    "unsignedInt": {"type": "integer", "format": "int64", "minimum": 0, "maximum": 4294967295},
    "long": {"type": "integer", "format": "int64"},
    "integer": {"type": "integer", "format": "int64"},
    "unsignedLong": {"type": "integer", "format": "int64", "minimum": 0},
    "nonNegativeInteger": {"type": "integer", "format": "int64", "minimum": 0},
    "positiveInteger": {"type": "integer", "format": "int64", "minimum": 1},
    "nonPositiveInteger": {"type": "integer", "format": "int64", "maximum": 0},
    "negativeInteger": {"type": "integer", "format": "int64", "maximum": -1},
    "decimal": {"type": "number", "format": "decimal"},
    "float": {"type": "number", "format": "float"},
    "double": {"type": "number", "format": "double"},
    "date": {"type": "string", "format": "date"},
    "base64Binary": {"type": "string", "format": "byte"},
}
_OPEN: Final = {"dateTime": "datetime", "time": "time", "duration": "duration"}  # XSD's are wider than the type table's
_FORMATS: Final[dict[ScalarKind, str]] = {
    "datetime": "date-time",
    "time": "time-local",
    "duration": "duration",
    "uuid": "uuid",
}
_BOUNDS: Final = {
    "minInclusive": "minimum", "maxInclusive": "maximum",
    "minExclusive": "exclusiveMinimum", "maxExclusive": "exclusiveMaximum",
}  # fmt: skip
_RESERVED: Final = frozenset((*KINDS, "any"))
_MAX_DEPTH: Final = 90


class Untypable(Exception):
    """Why a typed call cannot say it."""


@dataclass(slots=True)
class Part:
    """An element within a sequence."""

    name: str
    schema: Schema
    space: str
    required: bool
    nillable: bool


@dataclass(slots=True)
class XmlSchemas:
    """All schemas of a document and those that it includes and imports, by the names of what they declare."""

    sources: Sources
    draft: Draft
    elements: dict[QName, Element] = field(default_factory=dict)
    types: dict[QName, Element] = field(default_factory=dict)
    groups: dict[QName, Element] = field(default_factory=dict)
    names: dict[QName, str] = field(default_factory=dict)
    spaces: dict[str, set[str]] = field(default_factory=dict)  # of the elements within a named type
    _owners: dict[Element, tuple[str, bool]] = field(default_factory=dict)
    _read: set[tuple[str, str]] = field(default_factory=set)
    _depth: int = 0

    def add(self, schema: Element, where: str, space: str | None = None) -> None:
        """`space` is the namespace of who includes it, where it has none of its own (a chameleon)."""
        own = schema.get("targetNamespace") or space or ""
        self._owners[schema] = own, schema.get("elementFormDefault") == "qualified"
        tables = {"element": self.elements, "complexType": self.types, "simpleType": self.types, "group": self.groups}
        for each in schema.iterchildren(tag=etree.Element):
            tag = etree.QName(each).localname if str(each.tag).startswith(XS) else ""
            if tag in tables and each.get("name"):
                tables[tag].setdefault((own, each.get("name", "")), each)
            elif tag in ("include", "import", "redefine") and each.get("schemaLocation"):
                self.follow(each.get("schemaLocation", ""), where, own if tag != "import" else None)
                if tag == "redefine":
                    self.draft.note(label(where), "xs:redefine is read as xs:include")

    def follow(self, location: str, where: str, space: str | None) -> None:
        there = self.sources.beside(location, where)
        if (there, space or "") not in self._read:
            self._read.add((there, space or ""))
            root = self.sources.xml(there)
            if root.tag == f"{XS}schema":
                self.add(root, there, space)

    def owner(self, element: Element) -> tuple[str, bool]:
        """(namespace, whether local elements are qualified) of the schema around."""
        for each in element.iterancestors(f"{XS}schema"):
            if each in self._owners:
                return self._owners[each]
        return "", False

    def qname(self, text: str, at: Element) -> QName:
        prefix, _, name = text.strip().rpartition(":")
        space = at.nsmap.get(prefix or None)
        if space is None and not prefix:
            space = self.owner(at)[0] if None not in at.nsmap else ""
        if space is None:
            raise Untypable(f"the prefix of {text} is not declared")
        return space, name

    # elements

    def wrapper(self, name: QName) -> list[Part]:
        """The elements inside of a global element. Untypable: it holds a value of its own."""
        element = self.elements.get(name)
        if element is None:
            raise Untypable(f"there is no element {name[1]}")
        complex_type = element.find(f"{XS}complexType")
        given = element.get("type")
        if given is not None:
            found = self.types.get(self.qname(given, element))
            if found is None or found.tag != f"{XS}complexType":
                raise Untypable(f"the element {name[1]} holds a plain value")
            complex_type = found
        if complex_type is None:
            raise Untypable(f"the element {name[1]} has no elements inside")
        return self.parts(complex_type)

    def parts(self, complex_type: Element) -> list[Part]:
        self._depth += 1
        try:
            if self._depth > _MAX_DEPTH:
                raise Untypable("its types derive too deeply")
            return self.unnested(complex_type)
        finally:
            self._depth -= 1

    def unnested(self, complex_type: Element) -> list[Part]:
        name = complex_type.get("name") or "a type without a name"
        if complex_type.get("mixed") in ("true", "1"):
            raise Untypable(f"{name} mixes text and elements")
        found: list[Part] = []
        for each in complex_type.iterchildren(tag=etree.Element):
            tag = etree.QName(each).localname
            if tag == "complexContent":
                found += self.derived(each, name)
            elif tag == "simpleContent":
                raise Untypable(f"{name} is text with attributes")
            elif tag in ("sequence", "all", "choice", "group"):
                found += self.group(each, name)
            elif tag in ("attribute", "attributeGroup", "anyAttribute"):
                self.attribute(each, name)
        doubled = {part.name for part in found if sum(other.name == part.name for other in found) > 1}
        if doubled:
            raise Untypable(f"{name} has {', '.join(sorted(doubled))} in several places")
        return found

    def derived(self, content: Element, name: str) -> list[Part]:
        for each in content.iterchildren(tag=etree.Element):
            tag = etree.QName(each).localname
            base = self.qname(each.get("base", ""), each)
            if "soap/encoding" in base[0]:
                raise Untypable(f"{name} is an array of SOAP's encoding")
            if tag == "extension" and base != (XSD, "anyType"):
                found = self.types.get(base)
                if found is None:
                    raise Untypable(f"there is no type {base[1]}")
                return [*self.parts(found), *self.parts(each)]
            if tag in ("extension", "restriction"):
                return self.parts(each)
        return []

    def attribute(self, element: Element, owner: str) -> None:
        if element.get("use") == "required":
            raise Untypable(f"{owner} has the required attribute {element.get('name') or element.get('ref')}")
        if element.get("use") != "prohibited":
            self.draft.note(
                owner, f"the attribute {element.get('name') or element.get('ref') or '*'} is not carried over"
            )

    def group(self, group: Element, owner: str, *, optional: bool = False) -> list[Part]:
        """A sequence, choice, all, or a reference to a named group of them."""
        low, high = group.get("minOccurs", "1"), group.get("maxOccurs", "1")
        tag = etree.QName(group).localname
        if high not in ("0", "1"):
            raise Untypable(f"{owner} repeats a group of elements")
        if tag == "group":
            named = self.groups.get(self.qname(group.get("ref", ""), group))
            if named is None:
                raise Untypable(f"there is no group {group.get('ref')}")
            inner = [each for each in named.iterchildren(tag=etree.Element) if each.tag != f"{XS}annotation"]
            return [part for each in inner for part in self.group(each, owner, optional=optional or low == "0")]
        optional = optional or low == "0" or tag == "choice"
        if tag == "choice":
            self.draft.note(
                owner, "a choice: each of its elements may be left out, and that one is given is not checked"
            )
        found: list[Part] = []
        for each in group.iterchildren(tag=etree.Element):
            found += self.particle(each, owner, optional)
        return found

    def particle(self, each: Element, owner: str, optional: bool) -> Iterator[Part] | list[Part]:
        tag = etree.QName(each).localname
        if tag == "element":
            return [self.element(each, optional)] if each.get("maxOccurs") != "0" else []
        if tag == "any":
            if each.get("minOccurs") != "0" and not optional:
                raise Untypable(f"{owner} holds any element")
            self.draft.note(owner, "further elements (xs:any) are dropped")
            return []
        return self.group(each, owner, optional=optional) if tag in ("sequence", "choice", "all", "group") else []

    def element(self, element: Element, optional: bool) -> Part:
        space, qualified = self.owner(element)
        source = element
        if element.get("ref"):
            name = self.qname(element.get("ref", ""), element)
            found = self.elements.get(name)
            if found is None:
                raise Untypable(f"there is no element {name[1]}")
            source, (space, own) = found, name
        else:
            own = element.get("name", "")
            form = element.get("form", "qualified" if qualified else "unqualified")
            space = space if form == "qualified" else ""
        schema = self.type_of(source, own)
        high, low = element.get("maxOccurs", "1"), element.get("minOccurs", "1")
        nillable = source.get("nillable") in ("true", "1")
        if high != "1":
            items = _nullable(schema) if nillable else schema
            schema = {"type": "array", "items": items} | (
                {} if high == "unbounded" else ({"maxItems": int(high)} if high.isdigit() else {})
            )
            if low.isdigit() and int(low) > 0 and not optional:
                schema["minItems"] = int(low)
            return Part(own, schema, space, low != "0" and not optional, False)
        return Part(own, schema, space, low != "0" and not optional, nillable)

    # types

    def type_of(self, element: Element, name: str) -> Schema:
        if element.get("type"):
            return self.named(self.qname(element.get("type", ""), element))
        inner = element.find(f"{XS}simpleType")
        if inner is not None:
            return self.simple(inner)
        inner = element.find(f"{XS}complexType")
        if inner is None:
            raise Untypable(f"the element {name} may hold anything")
        space = self.owner(element)[0]
        return self.defined((space, f"{name}#{element.getroottree().getpath(element)}"), inner, name)

    def named(self, name: QName) -> Schema:
        if name[0] == XSD:
            return self.builtin(name[1])
        found = self.types.get(name)
        if found is None:
            raise Untypable(f"there is no type {name[1]}")
        return self.simple(found) if found.tag == f"{XS}simpleType" else self.defined(name, found, name[1])

    def defined(self, key: QName, found: Element, wanted: str) -> Schema:
        if key not in self.names:
            name = identifier(wanted, self.draft.types, lambda name: name in _RESERVED)
            self.names[key] = name
            self.draft.types[name] = {}
            parts = self.parts(found)
            self.draft.types[name] = record(parts)
            self.spaces[name] = {part.space for part in parts}
        return {"$ref": f"#/types/{self.names[key]}"}

    def builtin(self, name: str) -> Schema:
        if name in _WHOLE:
            return dict(_WHOLE[name])
        if name in _TEXTS:
            return {"type": "string"}
        if name in _OPEN:
            self.draft.note(
                "types", f"xs:{name} is read as its text: without its facets it is wider than {_OPEN[name]}"
            )
            return {"type": "string"}
        raise Untypable(f"xs:{name} may hold anything")

    def simple(self, simple: Element) -> Schema:
        restriction = simple.find(f"{XS}restriction")
        name = simple.get("name") or "a type without a name"
        if restriction is None:
            self.draft.note(name, "a list or union is read as its text")
            return {"type": "string"}
        own = _own_format(restriction)
        if own is not None:
            return own
        inner = restriction.find(f"{XS}simpleType")
        base = (
            self.simple(inner)
            if inner is not None
            else self.named(self.qname(restriction.get("base", ""), restriction))
        )
        return self.facets(base, restriction, name)

    def facets(self, base: Schema, restriction: Element, name: str) -> Schema:
        made = dict(base)
        values: dict[str, list[str]] = {}
        for each in restriction.iterchildren(tag=etree.Element):
            values.setdefault(etree.QName(each).localname, []).append(each.get("value", ""))
        members = values.pop("enumeration", [])
        if members and base.get("type") == "string" and "format" not in base:
            distinct = list(dict.fromkeys(members))
            if list(member_names(tuple(distinct))) == distinct:
                return {"enum": distinct}
            self.draft.note(name, "its members are not checked: not all of them can be names")
        for facet, (first, *_) in values.items():
            self.facet(made, facet, first, name)
        return made

    def facet(self, made: Schema, facet: str, value: str, name: str) -> None:
        text = made.get("type") == "string"
        if facet in ("minLength", "maxLength", "length") and text and value.isdigit() and "format" not in made:
            made |= {key: int(value) for key in ("minLength", "maxLength") if facet in (key, "length")}
        elif facet in _BOUNDS and not text and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value):
            made[_BOUNDS[facet]] = float(value) if "." in value else int(value)
        elif facet in ("totalDigits", "fractionDigits") and made.get("format") == "decimal" and value.isdigit():
            made["x-precision" if facet == "totalDigits" else "x-scale"] = int(value)
        elif facet == "pattern" and text and "format" not in made and not re.search(r"\\[icpPIC]|-\[|&", value):
            made["pattern"] = f"^(?:{value})$"
        elif facet not in ("whiteSpace", "annotation", "simpleType"):
            self.draft.note(name, f"the facet {facet} is not checked")


def _own_format(restriction: Element) -> Schema | None:
    """What this gateway's own WSDL writes for a type that XSD has wider (`schema.xsd`)."""
    base = restriction.get("base", "").rpartition(":")[2]
    patterns = {each.get("value") for each in restriction.iterfind(f"{XS}pattern")}
    for kind, format_ in _FORMATS.items():
        if patterns == {OWN_PATTERNS[kind]} and base == ({"datetime": "dateTime", "uuid": "string"}.get(kind, kind)):
            return {"type": "string", "format": format_}
    return None


def record(parts: list[Part]) -> Schema:
    properties = {part.name: _nullable(part.schema) if part.nillable else part.schema for part in parts}
    required = [part.name for part in parts if part.required]
    made: dict[str, Any] = {"type": "object", "properties": properties}
    return made | ({"required": required} if required else {})


def _nullable(schema: Schema) -> Schema:
    if isinstance(schema.get("type"), str) and schema["type"] != "array":
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}
