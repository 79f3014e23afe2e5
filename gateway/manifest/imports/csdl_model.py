"""CSDL, XML or JSON (OData 4.0 and 4.01), as one small model: types, sets and operations by their full names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from lxml import etree

from gateway.manifest.imports.draft import Draft, refused

Element = etree._Element

EDMX: Final = "{http://docs.oasis-open.org/odata/ns/edmx}"
EDM: Final = "{http://docs.oasis-open.org/odata/ns/edm}"
_OLD: Final = ("http://schemas.microsoft.com/ado/", "http://schemas.microsoft.com/")
_FLAGS: Final = ("true", "1")


@dataclass(frozen=True, slots=True)
class Property:
    name: str
    type: str  # of one value, without Collection( )
    collection: bool = False
    nullable: bool = True
    max_length: int | None = None
    precision: int | None = None
    scale: int | None = None
    place: str = ""

    def required(self) -> Property:
        return replace(self, nullable=False)

    def retyped(self, type_: str) -> Property:
        return replace(self, type=type_)


@dataclass(slots=True)
class Named:
    """A type: structured, an enumeration (`members`), or another name of a scalar (`underlying`)."""

    base: str = ""
    open: bool = False
    properties: list[Property] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    members: tuple[str, ...] | None = None
    is_flags: bool = False
    underlying: str | None = None


@dataclass(slots=True)
class Overload:
    parameters: list[Property]
    returns: Property | None


@dataclass(slots=True)
class Model:
    container: str = ""
    types: dict[str, Named] = field(default_factory=dict)
    sets: dict[str, str] = field(default_factory=dict)
    singletons: dict[str, str] = field(default_factory=dict)
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)  # name: (function | action, its full name)
    operations: dict[str, list[Overload]] = field(default_factory=dict)
    bound: list[tuple[str, str]] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)

    def full(self, name: str) -> str:
        """With the namespace where its alias stands."""
        prefix, _, last = name.rpartition(".")
        return f"{self.aliases[prefix]}.{last}" if prefix in self.aliases else name

    def line(self, full: str) -> list[Named]:
        """A type after those that it derives from."""
        found: list[Named] = []
        seen: set[str] = set()
        while full in self.types and full not in seen:
            seen.add(full)
            found.insert(0, self.types[full])
            full = self.types[full].base
        return found

    def properties(self, full: str) -> list[Property]:
        return list({each.name: each for named in self.line(full) for each in named.properties}.values())

    def links(self, full: str) -> list[str]:
        return [link for named in self.line(full) for link in named.links]

    def keys(self, full: str) -> list[Property]:
        """Empty: none, or one that is a path into another property."""
        names = next((named.keys for named in self.line(full) if named.keys), [])
        by_name = {each.name: each for each in self.properties(full)}
        return [by_name[name] for name in names] if names and all(name in by_name for name in names) else []

    def required(self, full: str) -> list[str]:
        keys = {each.name for each in self.keys(full)}
        return [
            each.name for each in self.properties(full) if each.name in keys or not each.nullable or each.collection
        ]


def read_xml(root: Element, draft: Draft) -> Model:
    """DocumentsRefused for what is not CSDL of OData 4."""
    if root.tag != f"{EDMX}Edmx":
        if any(str(each.tag)[1:].startswith(_OLD) for each in root.iter(etree.Element)):
            hint = "OData 2 and 3 answer another JSON. Ask the service for its V4 endpoint, or relay it by hand."
            raise refused(draft.origin, "it is metadata of OData 2 or 3, which is not read.", hint, "import-version")
        raise refused(draft.origin, f"its root is {root.tag!s}, not edmx:Edmx of OData 4.", "", "import-version")
    model = Model()
    for reference in root.iterfind(f"{EDMX}Reference"):
        draft.note(f"reference {reference.get('Uri', '')}", "not followed: annotations and types of it are not read")
    schemas = list(root.iterfind(f"{EDMX}DataServices/{EDM}Schema"))
    for schema in schemas:
        if schema.get("Alias"):
            model.aliases[schema.get("Alias", "")] = schema.get("Namespace", "")
    for schema in schemas:
        _Xml(model, draft, schema.get("Namespace", "")).read(schema)
    return model


class _Xml:
    def __init__(self, model: Model, draft: Draft, namespace: str) -> None:
        self.model = model
        self.draft = draft
        self.namespace = namespace

    def read(self, schema: Element) -> None:
        for each in schema.iterchildren(tag=etree.Element):
            tag, name = etree.QName(each).localname, each.get("Name", "")
            full = f"{self.namespace}.{name}"
            if tag in ("EntityType", "ComplexType"):
                self.model.types[full] = self.structured(each, full)
            elif tag == "EnumType":
                members = tuple(member.get("Name", "") for member in each.iterfind(f"{EDM}Member"))
                self.model.types[full] = Named(members=members, is_flags=each.get("IsFlags") in _FLAGS)
            elif tag == "TypeDefinition":
                self.model.types[full] = Named(underlying=each.get("UnderlyingType", "Edm.String"))
            elif tag in ("Function", "Action"):
                self.operation(each, tag.lower(), full)
            elif tag == "EntityContainer":
                self.container(each, name)

    def structured(self, element: Element, full: str) -> Named:
        return Named(
            base=self.model.full(element.get("BaseType", "")),
            open=element.get("OpenType") in _FLAGS,
            properties=[self.property(each, full) for each in element.iterfind(f"{EDM}Property")],
            keys=[each.get("Name", "") for each in element.iterfind(f"{EDM}Key/{EDM}PropertyRef")],
            links=[each.get("Name", "") for each in element.iterfind(f"{EDM}NavigationProperty")],
        )

    def property(self, element: Element, owner: str) -> Property:
        name = element.get("Name", "")
        type_, collection = self.typed(element.get("Type", "Edm.String"))
        return Property(
            name, type_, collection, element.get("Nullable", "true") in _FLAGS, _number(element.get("MaxLength")),
            _number(element.get("Precision")), _number(element.get("Scale")), f"{owner}/{name}",
        )  # fmt: skip

    def typed(self, text: str) -> tuple[str, bool]:
        if text.startswith("Collection(") and text.endswith(")"):
            return self.model.full(text[11:-1]), True
        return self.model.full(text), False

    def operation(self, element: Element, kind: str, full: str) -> None:
        if element.get("IsBound") in _FLAGS:
            self.model.bound.append((kind, full))
            return
        returns = element.find(f"{EDM}ReturnType")
        found = Overload(
            [self.property(each, full) for each in element.iterfind(f"{EDM}Parameter")],
            None if returns is None else self.property(returns, full),
        )
        self.model.operations.setdefault(full, []).append(found)

    def container(self, element: Element, name: str) -> None:
        self.model.container = self.model.container or name
        if element.get("Extends"):
            self.draft.note(
                f"{self.namespace}.{name}", f"the container it extends is not read: {element.get('Extends')}"
            )
        for each in element.iterchildren(tag=etree.Element):
            tag, own = etree.QName(each).localname, each.get("Name", "")
            if tag == "EntitySet":
                self.model.sets[own] = self.model.full(each.get("EntityType", ""))
            elif tag == "Singleton":
                self.model.singletons[own] = self.model.full(each.get("Type", ""))
            elif tag == "FunctionImport":
                self.model.imports[own] = ("function", self.model.full(each.get("Function", "")))
            elif tag == "ActionImport":
                self.model.imports[own] = ("action", self.model.full(each.get("Action", "")))


def _number(text: Any) -> int | None:
    return int(text) if str(text).isascii() and str(text).isdigit() and len(str(text)) < 10 else None


def read_json(given: dict[str, Any], draft: Draft) -> Model:
    """CSDL JSON 4.01. DocumentsRefused for what is none."""
    if str(given.get("$Version")) not in ("4.0", "4.01"):
        found = given.get("$Version", "no $Version")
        raise refused(
            draft.origin, f"it says {str(found)[:20]!r}: CSDL JSON 4.0 and 4.01 are read.", "", "import-version"
        )
    model = Model()
    references = given.get("$Reference")
    for uri in references if isinstance(references, dict) else ():
        draft.note(f"reference {uri}", "not followed: annotations and types of it are not read")
    spaces = {name: each for name, each in given.items() if not name.startswith("$") and isinstance(each, dict)}
    for name, space in spaces.items():
        if isinstance(space.get("$Alias"), str):
            model.aliases[space["$Alias"]] = name
    for name, space in spaces.items():
        _Json(model, draft, name).read(space)
    return model


class _Json:
    def __init__(self, model: Model, draft: Draft, namespace: str) -> None:
        self.model = model
        self.draft = draft
        self.namespace = namespace

    def read(self, space: dict[str, Any]) -> None:
        for name, each in _members(space):
            full = f"{self.namespace}.{name}"
            if isinstance(each, list):
                for one in each:
                    self.operation(one, full)
                continue
            kind = each.get("$Kind")
            if kind in ("EntityType", "ComplexType"):
                self.model.types[full] = self.structured(each, full)
            elif kind == "EnumType":
                members = tuple(key for key in each if not key.startswith("$") and "@" not in key)
                self.model.types[full] = Named(members=members, is_flags=each.get("$IsFlags") is True)
            elif kind == "TypeDefinition":
                self.model.types[full] = Named(underlying=str(each.get("$UnderlyingType", "Edm.String")))
            elif kind == "EntityContainer":
                self.container(each, name)

    def structured(self, given: dict[str, Any], full: str) -> Named:
        listed = given["$Key"] if isinstance(given.get("$Key"), list) else []
        keys = [each for each in listed if isinstance(each, str)]
        parts = list(_maps(given))
        return Named(
            base=self.model.full(str(given.get("$BaseType", ""))),
            open=given.get("$OpenType") is True,
            properties=[
                self.property(name, each, full) for name, each in parts if each.get("$Kind") != "NavigationProperty"
            ],
            keys=keys if len(keys) == len(listed) else [],
            links=[name for name, each in parts if each.get("$Kind") == "NavigationProperty"],
        )

    def property(self, name: str, given: dict[str, Any], owner: str) -> Property:
        return Property(
            name, self.model.full(str(given.get("$Type", "Edm.String"))), given.get("$Collection") is True,
            given.get("$Nullable") is True, _number(given.get("$MaxLength")), _number(given.get("$Precision")),
            _number(given.get("$Scale")), f"{owner}/{name}",
        )  # fmt: skip

    def operation(self, given: Any, full: str) -> None:
        if not isinstance(given, dict):
            return
        if given.get("$IsBound") is True:
            self.model.bound.append((str(given.get("$Kind", "")).lower(), full))
            return
        listed = [each for each in _list(given.get("$Parameter")) if isinstance(each, dict)]
        returns = given.get("$ReturnType")
        found = Overload(
            [self.property(str(each.get("$Name", "")), each, full) for each in listed],
            self.property("", returns, full) if isinstance(returns, dict) else None,
        )
        self.model.operations.setdefault(full, []).append(found)

    def container(self, given: dict[str, Any], name: str) -> None:
        self.model.container = self.model.container or name
        for own, each in _maps(given):
            if "$Function" in each:
                self.model.imports[own] = ("function", self.model.full(str(each["$Function"])))
            elif "$Action" in each:
                self.model.imports[own] = ("action", self.model.full(str(each["$Action"])))
            elif each.get("$Collection") is True:
                self.model.sets[own] = self.model.full(str(each.get("$Type", "")))
            elif "$Type" in each:
                self.model.singletons[own] = self.model.full(str(each["$Type"]))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _maps(given: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((name, each) for name, each in _members(given) if isinstance(each, dict))


def _members(given: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, each in given.items():
        if not name.startswith("$") and "@" not in name and isinstance(each, dict | list):
            yield name, each
