"""Schemas of OpenAPI (3.0, 3.1) made into types of a manifest. What the type table has no word for becomes `any`, or
loses the keyword; either is noted with its place, so that nothing disappears unseen."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from gateway.core.findings import DocumentsRefused
from gateway.manifest.imports.draft import Draft, identifier
from gateway.manifest.imports.source import Sources, label
from gateway.schema import json_schema
from gateway.schema.json_schema import read_types
from gateway.schema.scalar_schema import FORMATS
from gateway.schema.short import KINDS, expand

Schema = dict[str, Any]

ANY: Final[Schema] = {}
_TEXTS: Final = ("title", "description", "readOnly", "writeOnly", "deprecated")
_SILENT: Final = frozenset(
    ("title", "description", "readOnly", "writeOnly", "deprecated", "example", "examples", "externalDocs", "xml",
     "$schema", "$id", "$comment", "$anchor", "$defs", "definitions", "nullable", "discriminator", "default",
     "contentEncoding", "contentMediaType", "collectionFormat", "allowEmptyValue")
)  # fmt: skip
_SCALAR: Final = ("minLength", "maxLength", "pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_LOST: Final = frozenset(
    ("uniqueItems", "minProperties", "maxProperties", "multipleOf", "contains", "minContains", "maxContains",
     "propertyNames", "dependentRequired", "contentSchema")
)  # fmt: skip
_OPEN: Final = ("not", "if", "then", "else", "patternProperties", "prefixItems", "dependentSchemas",
                "unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef")  # fmt: skip
_GROUP: Final = frozenset(("allOf", "anyOf", "oneOf", "not", "if", "then", "else"))
_DROPPED_FIRST: Final = frozenset((*_SCALAR, "default", "format", "x-enum-varnames", "minItems", "maxItems"))
_RESERVED: Final = frozenset((*KINDS, "any"))
_ROUNDS: Final = 25


class Site(NamedTuple):
    """A place in one of the source's documents: its address and the JSON pointer."""

    where: str
    pointer: str

    def at(self, *keys: str | int) -> Site:
        more = "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in keys)
        return Site(self.where, self.pointer + more)


class Schemas:
    """Reads schemas of one source; named ones land in the draft's `types` once."""

    def __init__(self, sources: Sources, draft: Draft) -> None:
        self.sources = sources
        self.draft = draft
        self.names: dict[Site, str] = {}
        self.sites: dict[str, Site] = {}
        self.merging: list[Site] = []
        self.waiting: list[tuple[str, Any, Site]] = []
        self.draining = False

    def place(self, site: Site) -> str:
        return f"{'' if site.where == self.sources.root else label(site.where)}#{site.pointer}"

    def note(self, site: Site, message: str) -> None:
        self.draft.note(self.place(site), message)

    def follow(self, value: Any, site: Site) -> tuple[Any, Site]:
        """What stands behind references, however many. DocumentsRefused: one that leads nowhere or in a circle."""
        seen: set[Site] = set()
        while isinstance(value, dict) and isinstance(value.get("$ref"), str):
            if site in seen:
                raise self.bad(site, "it refers to itself")
            seen.add(site)
            value, site = self.target(value["$ref"], site)
        return value, site

    def target(self, reference: str, site: Site) -> tuple[Any, Site]:
        file, _, fragment = reference.partition("#")
        where = self.sources.beside(file, site.where) if file else site.where
        value: Any = self.sources.value(where)
        for part in fragment.split("/")[1:]:
            key = _unquoted(part)
            if isinstance(value, dict) and key in value:
                value = value[key]
            elif isinstance(value, list) and key.isdigit() and int(key) < len(value):
                value = value[int(key)]
            else:
                raise self.bad(site, f"there is nothing at {reference}")
        return value, Site(where, fragment)

    def bad(self, site: Site, message: str) -> DocumentsRefused:
        from gateway.manifest.imports.draft import refused

        return refused(self.place(site), f"{message}.", "", "import-reference")

    # schemas

    def read(self, schema: Any, site: Site) -> Schema:
        """In our dialect, with references to names."""
        made = self.translated(schema, site)
        if "readOnly" in made and set(made) <= {"readOnly", "description"}:  # any JSON, which is of no one's making
            del made["readOnly"]
        return made

    def translated(self, schema: Any, site: Site) -> Schema:
        if schema is True or schema == {}:
            return {}
        if not isinstance(schema, dict):
            return self.any(site, "not a schema")
        if isinstance(schema.get("$ref"), str):
            return self.reference(schema, site)
        self.unsaid(schema, site)
        if word := next((word for word in _OPEN if word in schema), None):
            return self.any(site, f"{word} has no counterpart") | _texts(schema)
        if "allOf" in schema:
            return self.read_merged(schema, site)
        for word in ("oneOf", "anyOf"):
            if word in schema:
                return self.union(schema, word, site) | _texts(schema)
        if "enum" in schema or "const" in schema:
            return self.enumeration(schema, site) | _texts(schema)
        return self.typed(schema, site)

    def any(self, site: Site, reason: str) -> Schema:
        self.note(site, f"any JSON: {reason}")
        return {}

    def unsaid(self, schema: Schema, site: Site) -> None:
        for word in sorted(_LOST & set(schema)):
            if schema[word] not in (False, 0, None):
                self.note(site, f"{word} is not checked here")
        if "discriminator" in schema:
            self.note(site, "the discriminator is an ordinary field; it chooses no type")

    def reference(self, schema: Schema, site: Site) -> Schema:
        more = [key for key in schema if key not in ("$ref", *_SILENT) and not key.startswith("x-")]
        if more:
            self.note(site, f"beside $ref not carried over: {', '.join(more)}")
        try:
            target, there = self.follow(schema, site)
        except DocumentsRefused as refused:
            if refused.findings[0].code != "import-reference":
                raise
            return self.any(site, str(refused.findings[0].message))
        named: Schema = {"$ref": f"#/types/{self.named(target, there)}"}
        nullable = schema.get("nullable") is True
        return {"anyOf": [named, {"type": "null"}]} if nullable else named

    def named(self, schema: Any, site: Site) -> str:
        """The name of the type at a place, read when it is first asked for."""
        if site not in self.names:
            last = _unquoted(site.pointer.rpartition("/")[2]) if site.pointer else label(site.where).partition(".")[0]
            name = identifier(last, self.draft.types, lambda name: name in _RESERVED)
            self.names[site], self.sites[name] = name, site
            self.draft.types[name] = {}  # its place in the order, and a name for what is inside
            self.waiting.append((name, schema, site))
            self.drain()
        return self.names[site]

    def drain(self) -> None:
        """Reads the types that were named, one after the other: a chain of them is as long as it likes."""
        if self.draining:
            return
        self.draining = True
        try:
            while self.waiting:
                name, schema, site = self.waiting.pop()
                merging, self.merging = self.merging, []
                self.draft.types[name] = self.read(schema, site)
                self.merging = merging
        finally:
            self.draining = False

    def read_merged(self, schema: Schema, site: Site) -> Schema:
        """allOf as one schema."""
        if site in self.merging:
            return self.any(site, "allOf that contains itself")
        self.merging.append(site)
        try:
            merged = self.merge(schema, site)
        finally:
            self.merging.pop()
        if merged is None:
            return self.any(site, "allOf of what cannot be one record") | _texts(schema)
        return self.read(merged, site)

    def merge(self, schema: Schema, site: Site) -> Schema | None:
        own = {key: part for key, part in schema.items() if key != "allOf"}
        result: Schema = self.absolute(own, site)
        parts = schema["allOf"] if isinstance(schema["allOf"], list) else []
        for index, part in enumerate(parts):
            value, there = self.follow(part, site.at("allOf", index))
            if there in self.merging or not isinstance(value, dict):
                return None
            if "allOf" in value:
                self.merging.append(there)
                inner = self.merge(value, there)
                self.merging.pop()
                if inner is None:
                    return None
            else:
                inner = self.absolute(value, there)
            if len(parts) == 1 and not (set(own) - _SILENT):
                return inner | {key: own[key] for key in own if key in _TEXTS or key == "nullable"}
            if not self.combine(result, inner, there):
                return None
        return result

    def absolute(self, value: Any, site: Site) -> Any:
        """With references that name their document, as parts of other files come together here."""
        if isinstance(value, dict):
            reference = value.get("$ref")
            if isinstance(reference, str):
                file, _, fragment = reference.partition("#")
                where = self.sources.beside(file, site.where) if file else site.where
                return {**value, "$ref": f"{where}#{fragment}"} if where != self.sources.root else value
            return {key: self.absolute(part, site) for key, part in value.items()}
        return [self.absolute(part, site) for part in value] if isinstance(value, list) else value

    def combine(self, into: Schema, part: Schema, site: Site) -> bool:
        """False: together they are no single schema."""
        if _GROUP & set(part) or (_GROUP - {"allOf"}) & set(into):
            return False
        for key, value in part.items():
            if key == "properties" and isinstance(value, dict):
                own = into.get("properties")
                into["properties"] = {**(own if isinstance(own, dict) else {}), **value}
            elif key == "required" and isinstance(value, list):
                into["required"] = [*_items(into.get("required")), *value]
            elif key in _SILENT or key not in into:
                into.setdefault(key, value)
            elif key == "additionalProperties":
                into[key] = False if False in (into[key], value) else into[key]
            elif into[key] != value:
                if key == "type":
                    return False
                self.note(site, f"allOf: two values of {key}; the first one counts")
        return True

    def union(self, schema: Schema, word: str, site: Site) -> Schema:
        members = schema[word] if isinstance(schema[word], list) else []
        rest = [(at, each) for at, each in enumerate(members) if each != {"type": "null"} and not _only_null(each)]
        nullable = len(rest) < len(members) or schema.get("nullable") is True
        beside = [key for key in schema if key not in (word, *_SILENT, "type") and not key.startswith("x-")]
        if len(rest) != 1 or beside:
            if {key for key in schema if key in ("properties", "type")} == {"properties", "type"} and all(
                isinstance(each, dict) and set(each) <= {"required", "title", "description"} for _, each in rest
            ):
                self.note(site, f"{word} of required fields is not checked here")
                return self.typed({key: part for key, part in schema.items() if key != word}, site)
            return self.any(site, f"{word} of {len(rest)} types")
        at, member = rest[0]
        inner = self.read(member, site.at(word, at))
        return _nullable(inner) if nullable and inner else inner

    def enumeration(self, schema: Schema, site: Site) -> Schema:
        given = schema["enum"] if "enum" in schema else [schema["const"]]
        values = [each for each in given if each is not None] if isinstance(given, list) else []
        kinds = {type(each) for each in values}
        if kinds not in ({str}, {int}) or len(set(values)) != len(values):
            self.note(site, "enum of other than distinct strings or integers: only its type is checked")
            rest = {key: part for key, part in schema.items() if key not in ("enum", "const")}
            return self.typed(rest, site) if "type" in rest else {}
        listed = schema.get("type")
        null = None in given or schema.get("nullable") is True or (isinstance(listed, list) and "null" in listed)
        made: Schema = {"enum": values}
        return {"anyOf": [made, {"type": "null"}]} if null else made

    def typed(self, schema: Schema, site: Site) -> Schema:
        listed = schema.get("type")
        kinds = [listed] if isinstance(listed, str) else [each for each in _items(listed) if isinstance(each, str)]
        nullable = schema.get("nullable") is True or "null" in kinds
        kinds = [kind for kind in kinds if kind != "null"]
        if not kinds:
            kinds = ["object"] if "properties" in schema or "additionalProperties" in schema else kinds
            kinds = ["array"] if "items" in schema else kinds
        if not kinds:
            known = [key for key in schema if key not in _SILENT and not key.startswith("x-")]
            return self.any(site, f"no type beside {', '.join(known)}") if known else {**_texts(schema)}
        if len(kinds) > 1:
            return self.any(site, f"several types: {', '.join(kinds)}") | _texts(schema)
        made = self.kind(kinds[0], schema, site)
        return (_nullable(made) if nullable and made else made) | _texts(schema)

    def kind(self, kind: str, schema: Schema, site: Site) -> Schema:
        if kind == "object":
            return self.record(schema, site)
        if kind == "array":
            limits: Schema = {key: schema[key] for key in ("minItems", "maxItems") if key in schema}
            return {"type": "array", "items": self.read(schema.get("items", True), site.at("items")), **limits}
        if kind in FORMATS:
            return self.scalar(kind, schema, site)
        return self.any(site, f"the type {kind!r} has no counterpart")

    def scalar(self, kind: str, schema: Schema, site: Site) -> Schema:
        made: Schema = {"type": kind}
        format_ = schema.get("format") if isinstance(schema.get("format"), str) else None
        if format_ == "byte" or schema.get("contentEncoding") == "base64":
            made["format"] = "byte"
        elif format_ in FORMATS[kind] and format_ not in (None, "time"):
            made["format"] = format_
        elif isinstance(format_, str) and format_ not in ("int16", "int8", "uint8", "uint16", "password", "binary"):
            self.draft.note("formats", f"{kind} format {format_!r} is not checked: read as a plain {kind}")
        for key in _SCALAR:
            if key in schema and not isinstance(schema[key], bool):
                made[key] = schema[key]
        for key, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
            if schema.get(key) is True and bound in made:  # OpenAPI 3.0
                made[key] = made.pop(bound)
        if "default" in schema:
            made["default"] = schema["default"]
        return made

    def record(self, schema: Schema, site: Site) -> Schema:
        properties, more = schema.get("properties"), schema.get("additionalProperties")
        if not isinstance(properties, dict) or not properties:
            if more is False:
                return {"type": "object", "properties": {}}
            return self.any(site, "a map of names that are not known" if more else "an object of unnamed properties")
        if more is True or isinstance(more, dict):
            return self.any(site, "an object that explicitly takes further properties")
        read = {key: self.read(part, site.at("properties", key)) for key, part in properties.items()}
        given = schema.get("required")
        required = list(dict.fromkeys(key for key in _items(given) if isinstance(key, str) and key in read))
        one_way = [key for key in required if _one_way(properties[key])]
        if one_way:
            self.note(site, f"may be left out, as only one direction has them: {', '.join(one_way)}")
            required = [key for key in required if key not in one_way]
        made: Schema = {"type": "object", "properties": read}
        return made | ({"required": required} if required else {})

    # what the type table refuses after all

    def settle(self) -> None:
        """Takes out of the draft's types what the type table refuses, until it takes all of them."""
        for _ in range(_ROUNDS):
            try:
                read_types({name: expand(schema, self.draft.types) for name, schema in self.draft.types.items()}, "")
            except DocumentsRefused as refused:
                for finding in refused.findings:
                    self.yield_to(self.draft.types, finding.place.path, finding.message)
                continue
            return
        for name in self.draft.types:
            self.draft.types[name] = {}
        self.draft.note("types", "any JSON: these types contradict each other")

    def settled(self, schema: Schema, site: Site) -> Schema:
        """The same for a schema that stands alone."""
        holder = {"it": schema}
        names = list(self.draft.types)
        for _ in range(_ROUNDS):
            try:
                json_schema.read(holder["it"], names, "it", "/it")
            except DocumentsRefused as refused:
                for finding in refused.findings:
                    self.yield_to(holder, finding.place.path, finding.message, site)
                continue
            return holder["it"]
        return {}

    def yield_to(self, holder: dict[str, Any], path: str, message: str, site: Site | None = None) -> None:
        keys = [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]
        start = site or self.sites.get(keys[0] if keys else "") or Site(self.sources.root, "")
        place = self.place(start.at(*keys[1:]))
        if keys and keys[-1] in _DROPPED_FIRST and _drop(holder, keys):
            self.draft.note(place, f"{keys[-1]} is not checked here: {message.rstrip('.')}")
            return
        while len(keys) > 1 and not isinstance(_get(holder, keys), dict):
            keys.pop()
        if len(keys) > 1 and keys[-1] in ("properties", "items"):
            keys.pop()
        _set(holder, keys)
        self.draft.note(place, f"any JSON: {message.rstrip('.')}")


def _get(value: Any, keys: list[str]) -> Any:
    for key in keys:
        if isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        elif isinstance(value, dict) and key in value:
            value = value[key]
        else:
            return None
    return value


def _drop(holder: Any, keys: list[str]) -> bool:
    parent = _get(holder, keys[:-1])
    return isinstance(parent, dict) and parent.pop(keys[-1], None) is not None


def _set(holder: Any, keys: list[str]) -> None:
    parent = _get(holder, keys[:-1])
    if isinstance(parent, list):
        parent[int(keys[-1])] = {}
    elif isinstance(parent, dict) and keys:
        parent[keys[-1]] = {}


def _texts(schema: Mapping[str, Any]) -> Schema:
    texts = {key: schema[key].strip() for key in ("description",) if isinstance(schema.get(key), str)}
    read_only = {"readOnly": True} if schema.get("readOnly") is True else {}
    return {key: text for key, text in texts.items() if text} | read_only


def _one_way(schema: Any) -> bool:
    return isinstance(schema, dict) and (schema.get("readOnly") is True or schema.get("writeOnly") is True)


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _only_null(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("enum") == [None]


def _nullable(schema: Schema) -> Schema:
    kind = schema.get("type")
    if isinstance(kind, str) and kind not in ("array", "object"):
        return {**schema, "type": [kind, "null"]}
    texts: Schema = {key: schema[key] for key in ("description", "readOnly") if key in schema}
    if "anyOf" in schema:
        return schema
    return {"anyOf": [{key: part for key, part in schema.items() if key not in texts}, {"type": "null"}], **texts}


def _unquoted(part: str) -> str:
    from urllib.parse import unquote

    return unquote(part).replace("~1", "/").replace("~0", "~")


_SHORT: Final = {
    ("integer", None): "int64", ("integer", "int64"): "int64", ("integer", "int32"): "int32",
    ("number", None): "double", ("number", "double"): "double", ("number", "float"): "float",
    ("boolean", None): "boolean", ("string", None): "string", ("string", "date-time"): "datetime",
    ("string", "date"): "date", ("string", "duration"): "duration", ("string", "uuid"): "uuid",
    ("string", "byte"): "bytes", ("string", "decimal"): "decimal", ("number", "decimal"): "decimal",
}  # fmt: skip
_TYPE_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def shortened(schema: Any) -> Any:
    """The short form where there is one (DESIGN §7), inside of schemas as well."""
    made = _shortened(schema)
    return _list(made) if isinstance(made, str) else made


def _list(text: str) -> Any:
    """`[Line]` as the list that YAML has for it."""
    return [_list(text[1:-1])] if text.startswith("[") and text.endswith("]") else text


def _shortened(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    if set(schema) <= {"readOnly"}:
        return "any"
    if schema.get("readOnly") and not set(schema) - {"readOnly", "$ref"}:
        schema = {key: part for key, part in schema.items() if key != "readOnly"}
    text = _short(schema)
    if text is not None:
        return text
    made = dict(schema)
    if isinstance(made.get("properties"), dict):
        made["properties"] = {key: shortened(part) for key, part in made["properties"].items()}
    if "items" in made:
        made["items"] = shortened(made["items"])
    if isinstance(made.get("anyOf"), list):
        made["anyOf"] = [each if each == {"type": "null"} else shortened(each) for each in made["anyOf"]]
    return made


def _short(schema: Schema) -> str | None:
    if set(schema) == {"anyOf"} and len(schema["anyOf"]) == 2 and schema["anyOf"][1] == {"type": "null"}:
        inner = _shortened(schema["anyOf"][0])
        return f"{inner}?" if isinstance(inner, str) and not inner.endswith("?") and inner != "any" else None
    if set(schema) == {"$ref"}:
        name = schema["$ref"].removeprefix("#/types/")
        return name if _TYPE_NAME.fullmatch(name) and name not in _RESERVED else None
    if set(schema) == {"type", "items"} and schema["type"] == "array":
        inner = _shortened(schema["items"])
        return f"[{inner}]" if isinstance(inner, str) else None
    return _short_scalar(schema)


def _short_scalar(schema: Schema) -> str | None:
    kind = schema.get("type")
    nullable = isinstance(kind, list) and len(kind) == 2 and "null" in kind
    if nullable:
        kind = next(each for each in kind or () if each != "null")
    word = _SHORT.get((kind, schema.get("format"))) if isinstance(kind, str) else None
    rest = set(schema) - {"type", "format"}
    if word is None or rest - {"maxLength"} or (rest and (word != "string" or type(schema["maxLength"]) is not int)):
        return None
    text = f"string({schema['maxLength']})" if rest else word
    return f"{text}?" if nullable else text
