"""`penstock import csdl`: an OData service's $metadata (CSDL 4.0 and 4.01, XML or JSON) as typed operations over its
JSON, and a relay of the whole service beside them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from gateway.manifest.imports.csdl_model import Model, Named, Property, read_json, read_xml
from gateway.manifest.imports.draft import Draft, component_name, identifier, refused
from gateway.manifest.imports.keywords import Schema
from gateway.manifest.imports.references import References
from gateway.manifest.imports.settling import Settling
from gateway.manifest.imports.short_forms import shortened
from gateway.manifest.imports.source import Sources

PLACEHOLDER: Final = "https://odata.example"
_GENERIC: Final = ("Container", "DefaultContainer", "Default", "Service", "")
_TEXT: Final = "^[^']*$"  # within the quotes of a literal, a quote would end it
_SCALARS: Final[dict[str, Schema]] = {
    "Boolean": {"type": "boolean"},
    "SByte": {"type": "integer", "format": "int32", "minimum": -128, "maximum": 127},
    "Byte": {"type": "integer", "format": "int32", "minimum": 0, "maximum": 255},
    "Int16": {"type": "integer", "format": "int32", "minimum": -32768, "maximum": 32767},
    "Int32": {"type": "integer", "format": "int32"},
    "Int64": {"type": "integer", "format": "int64"},
    "Single": {"type": "number", "format": "float"},
    "Double": {"type": "number", "format": "double"},
    "Decimal": {"type": "number", "format": "decimal"},
    "String": {"type": "string"},
    "Guid": {"type": "string", "format": "uuid"},
    "Date": {"type": "string", "format": "date"},
    "DateTimeOffset": {"type": "string", "format": "date-time"},
    "Duration": {"type": "string", "format": "duration"},
    "TimeOfDay": {"type": "string"},
    "Binary": {"type": "string"},
}
_QUERY: Final = {"$filter": "filter", "$orderby": "orderby", "$top": "top", "$skip": "skip", "$search": "search"}


def import_csdl(sources: Sources, name: str = "", version: str = "", service: str = "") -> Draft:
    """`service` is the service's root; default: where the document was fetched from. DocumentsRefused."""
    raw = sources.read(sources.root)
    is_json = raw.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{"
    draft = Draft(name, version or "v1", sources.origin)
    model = read_json(sources.value(sources.root), draft) if is_json else read_xml(sources.xml(sources.root), draft)
    if not model.sets and not model.imports and not model.singletons:
        raise refused(sources.origin, "it has no entity set, singleton or operation import.")
    return _Import(sources, draft, model, service).draft_of()


@dataclass(slots=True)
class _Import:
    sources: Sources
    draft: Draft
    model: Model
    service: str
    names: dict[str, str] = field(default_factory=dict)
    prefix: str = ""
    waiting: list[tuple[str, str, Named]] = field(default_factory=list)

    def draft_of(self) -> Draft:
        draft, model = self.draft, self.model
        container = "" if model.container in _GENERIC else model.container
        file = self.sources.origin.rstrip("/").removesuffix("/$metadata").rpartition("/")[2].partition(".")[0]
        draft.name = draft.name or component_name(container or file)
        draft.title = model.container
        self.backend()
        for name, type_ in model.sets.items():
            self.entity_set(name, type_)
        for name, type_ in model.singletons.items():
            self.singleton(name, type_)
        for name, (kind, function) in model.imports.items():
            self.imported(name, kind, function)
        for kind, named in model.bound:
            draft.note(named, f"the bound {kind} is relayed: OData names it behind the thing it is bound to")
        path = f"{self.prefix}/**"
        draft.comment(
            "rest", "ANY /service/**", text="The whole service, as it is: queries, navigation, $batch, writes."
        )
        draft.rest["ANY /service/**"] = {"relay": "service", **({"path": path} if path != "/service/**" else {})}
        draft.note("relay", "URLs within the service's own answers (@odata.context, nextLink) name the service itself")
        draft.protect()
        Settling(References(self.sources, draft), {}).types()
        draft.types = {name: shortened(schema) for name, schema in draft.types.items()}
        draft.drop_unused_types()
        return draft

    def backend(self) -> None:
        url = self.service or (self.sources.root if self.sources.is_url else "")
        if not url:
            self.draft.note(
                "service", f"its address is not in the document: {PLACEHOLDER} stands for it (or --service)"
            )
            url = PLACEHOLDER
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or not re.fullmatch(r"[!-~]*", parts.path):
            raise refused("--service", "it is no http(s) URL.", "Such as https://host/odata/v4.")
        self.prefix = parts.path.removesuffix("$metadata").rstrip("/")
        value = f"{self.draft.name.replace('-', '_')}_url"
        origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self.draft.values[value] = {"default": origin, "description": "where the service listens"}
        self.draft.backends["service"] = {"http": {"targets": [f"${{{value}}}"]}}

    # types

    def type_of(self, given: Property, *, literal: bool = False) -> Schema:
        schema = self.bare(given, literal)
        if given.collection:
            return {"type": "array", "items": schema}
        return _nullable(schema) if given.nullable and schema else schema

    def bare(self, given: Property, literal: bool) -> Schema:
        if given.type.startswith("Edm."):
            return self.scalar(given, given.type[4:], literal)
        found = self.model.types.get(given.type)
        if found is None:
            self.draft.note(given.place, f"any JSON: there is no type {given.type}")
            return {}
        if found.underlying is not None:
            return self.bare(given.retyped(found.underlying), literal)
        return {"$ref": f"#/types/{self.named(given.type, found)}"}

    def scalar(self, given: Property, kind: str, literal: bool) -> Schema:
        if kind not in _SCALARS:
            self.draft.note(given.place, f"any JSON: Edm.{kind} has no counterpart")
            return {}
        schema = dict(_SCALARS[kind])
        if kind == "Binary":
            self.draft.note("types", "Edm.Binary is read as its base64url text")
        if kind == "String" and given.max_length:
            schema["maxLength"] = given.max_length
        if kind == "Decimal" and given.precision and given.scale is not None and given.scale <= given.precision:
            schema |= {"x-precision": given.precision, "x-scale": given.scale}
        if kind in ("String", "TimeOfDay", "Binary") and literal:
            schema["pattern"] = _TEXT
        return schema

    def named(self, full: str, found: Named) -> str:
        if full not in self.names:
            name = identifier(full.rpartition(".")[2], self.draft.types)
            self.names[full] = name
            self.draft.types[name] = {}
            self.waiting.append((name, full, found))
            if len(self.waiting) == 1:  # otherwise they are being read further up
                while self.waiting:
                    own, whole, each = self.waiting[0]
                    self.draft.types[own] = self.read(whole, each)
                    self.waiting.pop(0)
        return self.names[full]

    def read(self, full: str, found: Named) -> Schema:
        if found.members is not None:
            if found.is_flags:
                self.draft.note(full, "flags are read as their text (a comma between names)")
                return {"type": "string"}
            return {"enum": list(found.members)}
        if found.open:
            self.draft.note(full, "an open type: properties that are not declared are left out of typed answers")
        properties: Schema = {}
        for each in self.model.properties(full):
            if each.type == "Edm.Stream":
                self.draft.note(each.place, "left out: a stream is fetched through the relay")
            else:
                properties[each.name] = self.type_of(each)
        links = self.model.links(full)
        if links:
            self.draft.note(full, f"navigation is followed through the relay: {', '.join(links)}")
        if not properties:
            return {"type": "object", "properties": {}}
        required = [each for each in self.model.required(full) if each in properties]
        return {"type": "object", "properties": properties} | ({"required": required} if required else {})

    # endpoints

    def add(self, name: str, operation: dict[str, Any], route: str, endpoint: dict[str, Any]) -> None:
        free = identifier(name, self.draft.operations)
        self.draft.operations[free] = operation
        self.draft.rest[route] = {"call": free, **endpoint} if endpoint else free
        self.draft.places[free] = name

    def entity_set(self, name: str, type_: str) -> None:
        found = self.model.types.get(type_)
        if found is None:
            self.draft.note(name, f"left out: there is no type {type_}")
            return
        record = self.named(type_, found)
        query = {key: own for key, own in _QUERY.items() if own not in ("top", "skip")}
        given: Schema = dict.fromkeys(query.values(), "string?")
        given |= {"top": "int32?", "skip": "int32?"}
        http = {"backend": "service", "request": f"GET {self.prefix}/{name}", "query": _QUERY, "result": "value"}
        operation = {"effect": "safe", "input": given, "output": [record], "http": http}
        bound = {"query": {own: key for key, own in _QUERY.items()}}
        self.add(f"list_{name}", operation, f"GET /{name}", bound)
        keys = self.model.keys(type_)
        if keys:
            self.by_key(name, record, keys)
        else:
            self.draft.note(name, "its entities cannot be called one by one: the type has no key of plain properties")

    def by_key(self, name: str, record: str, keys: list[Property]) -> None:
        given: dict[str, Any] = {}
        literals, path = [], f"/{name}"
        for each in keys:
            own = identifier(each.name, given)
            written = self.literal(each, own)
            if written is None:
                self.draft.note(each.place, f"a key of {each.type} is relayed only")
                return
            given[own] = shortened(self.type_of(each.required(), literal=True))
            literals.append(written if len(keys) == 1 else f"{each.name}={written}")
            path += f"/{{{own}}}"
        request = f"GET {self.prefix}/{name}({','.join(literals)})"
        http = {"backend": "service", "request": request, "errors": {"404": "NotFound"}}
        errors = {"NotFound": {"status": 404, "title": "No such entity"}}
        operation = {"effect": "safe", "input": given, "output": record, "errors": errors, "http": http}
        self.add(f"get_{name}", operation, f"GET {path}", {})

    def literal(self, given: Property, own: str) -> str | None:
        """A parameter as an OData literal within a path (OData 4.01 URL Conventions, 4.3)."""
        found = self.model.types.get(given.type)
        kind = found.underlying if found and found.underlying else given.type
        if given.collection or not kind.startswith("Edm."):
            return None
        if kind == "Edm.String":
            return f"'{{{own}}}'"
        plain = ("Boolean", "SByte", "Byte", "Int16", "Int32", "Int64", "Guid", "Date", "DateTimeOffset", "Decimal",
                 "Single", "Double")  # fmt: skip
        return f"{{{own}}}" if kind[4:] in plain else None

    def singleton(self, name: str, type_: str) -> None:
        found = self.model.types.get(type_)
        if found is None:
            self.draft.note(name, f"left out: there is no type {type_}")
            return
        http = {"backend": "service", "request": f"GET {self.prefix}/{name}"}
        operation = {"effect": "safe", "input": {}, "output": self.named(type_, found), "http": http}
        self.add(f"get_{name}", operation, f"GET /{name}", {})

    def imported(self, name: str, kind: str, function: str) -> None:
        overloads = self.model.operations.get(function, [])
        if len(overloads) != 1:
            reason = "it has overloads" if overloads else f"there is no {kind} {function}"
            self.draft.note(name, f"the {kind} is relayed only: {reason}")
            return
        one = overloads[0]
        if kind == "function":
            self.function(name, one.parameters, one.returns)
        else:
            self.action(name, one.parameters, one.returns)

    def answer(self, returns: Property | None) -> tuple[Any, dict[str, str]]:
        """The output, and where it is in the answer: collections and primitive values are in `value`."""
        if returns is None:
            return None, {}
        found = self.model.types.get(returns.type)
        whole = not returns.collection and found is not None and found.members is None and found.underlying is None
        return shortened(self.type_of(returns)), {} if whole else {"result": "value"}

    def function(self, name: str, parameters: list[Property], returns: Property | None) -> None:
        given: dict[str, Any] = {}
        written = []
        for each in parameters:
            own = identifier(each.name, given)
            literal = self.literal(each, own)
            if literal is None:
                self.draft.note(name, f"the function is relayed only: {each.name} is {each.type}")
                return
            given[own] = shortened(self.type_of(each.required(), literal=True))
            written.append(f"{each.name}={literal}")
        output, result = self.answer(returns)
        http = {"backend": "service", "request": f"GET {self.prefix}/{name}({','.join(written)})", **result}
        query = {own: each.name for own, each in zip(given, parameters, strict=True) if own != each.name}
        operation = {"effect": "safe", "input": given, "output": output, "http": http}
        self.add(name, operation, f"GET /{name}", {"query": query} if query else {})

    def action(self, name: str, parameters: list[Property], returns: Property | None) -> None:
        output, result = self.answer(returns)
        http: dict[str, Any] = {"backend": "service", "request": f"POST {self.prefix}/{name}"}
        given: dict[str, Any] = {}
        if parameters:
            record = identifier(f"{name}_parameters", self.draft.types)
            properties = {each.name: self.type_of(each) for each in parameters}
            required = [each.name for each in parameters if not each.nullable]
            self.draft.types[record] = {"type": "object", "properties": properties, "required": required}
            given, http["body"] = {"body": record}, "body"
        operation = {"effect": "writing", "input": given, "output": output, "http": http | result}
        self.add(name, operation, f"POST /{name}", {"body": "body"} if parameters else {})


def _nullable(schema: Schema) -> Schema:
    if isinstance(schema.get("type"), str):
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}
