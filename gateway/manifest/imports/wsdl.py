"""`penstock import wsdl`: WSDL 1.1. Operations of document/literal and rpc/literal whose types the type table can say
become typed calls of the SOAP service, to be called as REST; each port is relayed beside them, as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from lxml import etree

from gateway.manifest.imports.draft import Draft, component_name, identifier, named_types, refused
from gateway.manifest.imports.references import References
from gateway.manifest.imports.settling import Settling
from gateway.manifest.imports.short_forms import shortened
from gateway.manifest.imports.source import Sources, label
from gateway.manifest.imports.xsd import XS, Part, QName, Untypable, XmlSchemas, record

Element = etree._Element

WSDL: Final = "{http://schemas.xmlsoap.org/wsdl/}"
SOAP: Final = {
    "http://schemas.xmlsoap.org/wsdl/soap/": "1.1",
    "http://schemas.xmlsoap.org/wsdl/soap12/": "1.2",
}
PLACEHOLDER: Final = "https://soap.example"
_ACTION: Final = re.compile(r"[!#-\[\]-~]*")


@dataclass(slots=True)
class _Port:
    name: str
    version: str
    soap: str  # the namespace of its binding, in braces
    address: str
    binding: Element
    where: str
    backend: str = ""
    path: str = "/"


def import_wsdl(sources: Sources, name: str = "", version: str = "") -> Draft:
    """DocumentsRefused: the document is no WSDL 1.1, or has nothing that could be made."""
    draft = Draft(name, version or "v1", sources.origin)
    reading = _Import(sources, draft, XmlSchemas(sources, draft))
    root = sources.xml(sources.root)
    if root.tag != f"{WSDL}definitions":
        hint = "WSDL 2.0 is not read." if "wsdl" in str(root.tag) else ""
        raise refused(sources.origin, f"its root is {root.tag!s}, not definitions of WSDL 1.1.", hint, "import-version")
    reading.add(root, sources.root)
    return reading.draft_of(root)


@dataclass(slots=True)
class _Import:
    sources: Sources
    draft: Draft
    schemas: XmlSchemas
    messages: dict[QName, Element] = field(default_factory=dict)
    port_types: dict[QName, Element] = field(default_factory=dict)
    bindings: dict[QName, tuple[Element, str]] = field(default_factory=dict)
    services: list[tuple[Element, str]] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    done: set[QName] = field(default_factory=set)
    encoded: int = 0

    def add(self, root: Element, where: str) -> None:
        self.seen.add(where)
        space = root.get("targetNamespace", "")
        for schema in root.iterfind(f"{WSDL}types/{XS}schema"):
            self.schemas.add(schema, where)
        for other in root.iterfind(f"{WSDL}types/*"):
            if isinstance(other.tag, str) and other.tag != f"{XS}schema":
                self.draft.note(label(where), f"types that are not read: {other.tag}")
        for each in root.iterchildren(tag=etree.Element):
            tag, key = str(each.tag), (space, each.get("name", ""))
            if tag == f"{WSDL}message":
                self.messages[key] = each
            elif tag == f"{WSDL}portType":
                self.port_types[key] = each
            elif tag == f"{WSDL}binding":
                self.bindings[key] = each, where
            elif tag == f"{WSDL}service":
                self.services.append((each, where))
            elif tag == f"{WSDL}import" and each.get("location"):
                there = self.sources.beside(each.get("location", ""), where)
                found = self.sources.xml(there) if there not in self.seen else None
                if found is not None and found.tag == f"{WSDL}definitions":
                    self.add(found, there)
                elif found is not None and found.tag == f"{XS}schema":
                    self.seen.add(there)
                    self.schemas.add(found, there)

    def draft_of(self, root: Element) -> Draft:
        draft = self.draft
        ports = list(self.ports())
        service = self.services[0][0].get("name", "") if self.services else ""
        draft.name = draft.name or component_name(root.get("name") or service or self.sources.origin.partition(".")[0])
        draft.title = service or root.get("name", "")
        draft.description = _documentation(self.services[0][0] if self.services else root)
        if not ports:
            raise refused(self.sources.origin, "it has no port with a binding of SOAP 1.1 or 1.2.")
        for port in ports:
            self.place(port)
        for port in ports:
            for operation in port.binding.iterfind(f"{WSDL}operation"):
                self.operation(port, operation)
        if self.encoded and not draft.operations:
            hint = "No schema says what is on the wire (WS-I Basic Profile, R2706). Ask for a literal one."
            raise refused(
                self.sources.origin, 'all of its operations are encoded (use="encoded").', hint, "import-encoded"
            )
        for port in ports:
            self.relay(port)
        draft.protect()
        Settling(References(self.sources, draft), {}).types()
        draft.types = {name: shortened(schema) for name, schema in draft.types.items()}
        draft.drop_unused_types()
        return draft

    def ports(self) -> Iterator[_Port]:
        for service, _ in self.services:
            for port in service.iterfind(f"{WSDL}port"):
                found = self.bindings.get(_qname(port.get("binding", ""), port))
                if found is None:
                    self.draft.note(port.get("name", ""), "left out: there is no such binding")
                    continue
                binding, there = found
                addresses = [port.find(f"{{{uri}}}address") for uri in SOAP]
                address = next((each for each in addresses if each is not None), None)
                version = next((uri for uri in SOAP if binding.find(f"{{{uri}}}binding") is not None), None)
                if address is None or version is None:
                    self.draft.note(port.get("name", ""), "left out: it is not bound to SOAP 1.1 or 1.2")
                    continue
                name, location = port.get("name", ""), address.get("location", "")
                yield _Port(name, SOAP[version], f"{{{version}}}", location, binding, there)

    def place(self, port: _Port) -> None:
        draft = self.draft
        try:
            parts = urlsplit(port.address.strip())
            sound = parts.scheme in ("http", "https") and parts.hostname and re.fullmatch(r"[!-~]*", port.address)
        except ValueError:
            sound, parts = False, urlsplit("")
        if not sound:
            draft.note(port.name, f"its address {port.address!r} is no http(s) URL: {PLACEHOLDER} stands for it")
            parts = urlsplit(PLACEHOLDER)
        origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        port.path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        for name, value in draft.values.items():
            if value["default"] == origin:
                port.backend = f"service{name.partition('_url')[2]}"
                return
        more = f"_{len(draft.values) + 1}" if draft.values else ""
        value_name = f"{draft.name.replace('-', '_')}_url{more}"
        draft.values[value_name] = {"default": origin, "description": "where the service listens"}
        port.backend = f"service{more}"
        draft.backends[port.backend] = {"http": {"targets": [f"${{{value_name}}}"]}}

    def relay(self, port: _Port) -> None:
        segment = re.sub(r"[^A-Za-z0-9._-]+", "-", port.name).strip("-.") or "port"
        route = f"POST /{segment}"
        while route in self.draft.rest:
            segment = f"{segment}-soap"
            route = f"POST /{segment}"
        path = port.path.partition("?")[0]
        if "?" in port.path:
            self.draft.note(port.name, "its address has a query: clients of the relay write it themselves")
        self.draft.comment("rest", route, text=f"SOAP {port.version}, as the service speaks it: every operation.")
        self.draft.rest[route] = {"relay": port.backend, **({"path": path} if path != f"/{segment}" else {})}

    # operations

    def operation(self, port: _Port, bound: Element) -> None:
        name = bound.get("name", "")
        kind = _qname(port.binding.get("type", ""), port.binding)
        if (kind[0], f"{kind[1]}/{name}") in self.done:
            return  # another port of the same port type has it
        place = f"{label(port.where)}#{port.name}/{name}"
        types, names, spaces = dict(self.draft.types), dict(self.schemas.names), dict(self.schemas.spaces)
        try:
            self.typed(port, bound, kind, name, place)
        except Untypable as reason:
            self.draft.types, self.schemas.names, self.schemas.spaces = types, names, spaces
            self.draft.note(place, f"relayed only: {reason}")
        else:
            self.done.add((kind[0], f"{kind[1]}/{name}"))

    def typed(self, port: _Port, bound: Element, kind: QName, name: str, place: str) -> None:
        port_type = self.port_types.get(kind)
        listed = [] if port_type is None else [
            each for each in port_type.iterfind(f"{WSDL}operation") if each.get("name") == name
        ]  # fmt: skip
        if len(listed) != 1:
            raise Untypable("it is overloaded" if listed else "its port type has no such operation")
        abstract = listed[0]
        soap = bound.find(f"{port.soap}operation")
        binding = port.binding.find(f"{port.soap}binding")
        style = (None if soap is None else soap.get("style")) or (binding.get("style") if binding is not None else None)
        self.literal(bound, port.soap)
        asked = self.message(abstract.find(f"{WSDL}input"), bound.find(f"{WSDL}input"), port, style, name)
        answer = abstract.find(f"{WSDL}output")
        told = None
        if answer is not None:
            told = self.message(answer, bound.find(f"{WSDL}output"), port, style, f"{name}Response")
        if told is not None and told[0][0] != asked[0][0]:
            raise Untypable("its answer is in another namespace than its request")
        errors, faults = self.faults(abstract)
        self.write(port, name, place, abstract, soap, asked, told, (errors, faults))

    def literal(self, bound: Element, soap: str) -> None:
        for body in bound.iter(f"{soap}body"):
            if body.get("use") == "encoded":
                self.encoded += 1
                raise Untypable("it is encoded (rpc/encoded), which no schema describes")
        headers = list(bound.iterfind(f"{WSDL}input/{soap}header"))
        if headers:
            raise Untypable(f"it takes the SOAP header {headers[0].get('part', '')}")
        if any(not str(each.tag).startswith((soap, WSDL)) and "multipart" in str(each.tag) for each in bound.iter()):
            raise Untypable("it takes attachments")

    def message(
        self, abstract: Element | None, bound: Element | None, port: _Port, style: str | None, wrapper: str
    ) -> tuple[QName, list[Part]]:
        """(the element, what is inside)."""
        given = None if abstract is None else abstract.get("message")
        found = None if abstract is None or not given else self.messages.get(_qname(given, abstract))
        if found is None:
            raise Untypable("its message is missing")
        parts = list(found.iterfind(f"{WSDL}part"))
        body = None if bound is None else bound.find(f"{port.soap}body")
        if body is not None and body.get("parts") is not None:
            parts = [part for part in parts if part.get("name") in body.get("parts", "").split()]
        if style == "rpc":
            space = "" if body is None else body.get("namespace", "")
            return (space, wrapper), [self.rpc(part) for part in parts]
        if len(parts) != 1 or not parts[0].get("element"):
            raise Untypable("its message is not one element")
        name = self.schemas.qname(parts[0].get("element", ""), parts[0])
        return name, self.schemas.wrapper(name)

    def rpc(self, part: Element) -> Part:
        if not part.get("type"):
            raise Untypable("rpc with an element")
        return Part(
            part.get("name", ""), self.schemas.named(self.schemas.qname(part.get("type", ""), part)), "", True, False
        )

    def faults(self, abstract: Element) -> tuple[dict[str, Any], dict[str, str]]:
        errors: dict[str, Any] = {}
        elements: dict[str, str] = {}
        for fault in abstract.iterfind(f"{WSDL}fault"):
            message = self.messages.get(_qname(fault.get("message", ""), fault))
            part = None if message is None else message.find(f"{WSDL}part")
            if part is None or not part.get("element"):
                self.draft.note(fault.get("name", "fault"), "the fault is not declared: its message is no element")
                continue
            name = self.schemas.qname(part.get("element", ""), part)
            code = identifier(fault.get("name") or name[1], errors)
            errors[code] = {"status": 422, "title": _documentation(fault) or code}
            elements[name[1]] = code
            self.detail(errors[code], name)
        return errors, elements

    def detail(self, error: dict[str, Any], name: QName) -> None:
        try:
            parts = self.schemas.wrapper(name)
        except Untypable as reason:
            self.draft.note(name[1], f"the fault's detail is not carried over: {reason}")
            return
        if parts:
            key = (name[0], f"{name[1]}#fault")
            if key not in self.schemas.names:
                own = identifier(name[1], self.draft.types)
                self.schemas.names[key] = own
                self.draft.types[own] = record(parts)
                self.schemas.spaces[own] = {part.space for part in parts}
            error["detail"] = self.schemas.names[key]

    def write(
        self,
        port: _Port,
        name: str,
        place: str,
        abstract: Element,
        soap: Element | None,
        asked: tuple[QName, list[Part]],
        told: tuple[QName, list[Part]] | None,
        failing: tuple[dict[str, Any], dict[str, str]],
    ) -> None:
        (space, element), parts = asked
        errors, faults = failing
        output, result = self.output(told)
        for each in ("element", element), *((("response", told[0][1]),) if told else ()):
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,127}", each[1]):
                raise Untypable(f"the element {each[1]} is no plain name")
        given: dict[str, Any] = {}
        for part in parts:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,127}", part.name):
                raise Untypable(f"the element {part.name} is no plain name")
            optional = part.nillable or not part.required
            if part.nillable and part.required:
                self.draft.note(place, f"{part.name} may be nil: where it is null, its element is left out")
            given[part.name] = shortened(_optional(part.schema) if optional else part.schema)
        qualified = self.one_form(space, asked, told, [given, output, errors])
        action = "" if soap is None else soap.get("soapAction", "")
        if not _ACTION.fullmatch(action):
            raise Untypable("its action holds characters that a header field cannot")
        call: dict[str, Any] = {"backend": port.backend, "path": port.path, "version": port.version}
        call |= {"action": action} if action else {}
        call |= {"namespace": space, "element": element}
        call |= {"response": told[0][1]} if told else {}
        call |= {"result": result} if result else {}
        call |= {} if qualified else {"qualified": False}
        call |= {"errors": faults} if faults else {}
        own = identifier(name, self.draft.operations)
        operation: dict[str, Any] = {"description": _documentation(abstract)} if _documentation(abstract) else {}
        operation |= {"effect": "writing", "input": given, "output": output}
        operation |= {"errors": errors} if errors else {}
        self.draft.operations[own] = operation | {"soap": call}
        self.draft.rest[f"POST /{own}"] = own
        self.draft.places[own] = place

    def output(self, told: tuple[QName, list[Part]] | None) -> tuple[Any, str]:
        if told is None or not told[1]:
            return None, ""
        (space, name), parts = told
        if len(parts) == 1:
            only = parts[0]
            schema = only.schema
            if only.nillable or (not only.required and schema.get("type") != "array"):
                schema = _optional(schema)
            return shortened(schema), only.name
        key = (space, f"{name}#answer")
        if key not in self.schemas.names:
            own = identifier(name, self.draft.types)
            self.schemas.names[key] = own
            self.draft.types[own] = record(parts)
            self.schemas.spaces[own] = {part.space for part in parts}
        return self.schemas.names[key], ""

    def one_form(
        self, space: str, asked: tuple[QName, list[Part]], told: tuple[QName, list[Part]] | None, reached: Any
    ) -> bool:
        """Whether all elements inside have the namespace of the outer ones; Untypable: they have several."""
        spaces = {part.space for part in (*asked[1], *(told[1] if told else ()))}
        waiting, seen = named_types(reached, self.draft.types), set[str]()
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                spaces |= self.schemas.spaces.get(name, set())
                waiting += named_types(self.draft.types[name], self.draft.types)
        if spaces - {space, ""} or len(spaces) > 1:
            raise Untypable(
                f"its elements are in several namespaces: {', '.join(sorted(each or 'none' for each in spaces))}"
            )
        return space in spaces or not spaces


def _optional(schema: dict[str, Any]) -> dict[str, Any]:
    if isinstance(schema.get("type"), str) and schema["type"] != "array":
        return {**schema, "type": [schema["type"], "null"]}
    return (
        schema if "anyOf" in schema or isinstance(schema.get("type"), list) else {"anyOf": [schema, {"type": "null"}]}
    )


def _documentation(element: Element) -> str:
    found = element.find(f"{WSDL}documentation")
    return "" if found is None else " ".join("".join(found.itertext()).split())[:2000]


def _qname(text: str, at: Element) -> QName:
    prefix, _, name = text.strip().rpartition(":")
    return at.nsmap.get(prefix or None) or "", name
