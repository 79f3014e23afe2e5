"""Schemas of OpenAPI (3.0, 3.1) made into types of a manifest. What the type table has no word for becomes `any`, or
loses the keyword; either is noted with its place, so that nothing disappears unseen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.core.findings import DocumentsRefused
from gateway.manifest.imports.all_of import AllOf
from gateway.manifest.imports.draft import Draft, identifier
from gateway.manifest.imports.keywords import LOST, OPEN, SCALAR, Schema, carried, items
from gateway.manifest.imports.references import References, Site
from gateway.manifest.imports.settling import Settling
from gateway.manifest.imports.short_forms import RESERVED
from gateway.manifest.imports.source import Sources
from gateway.schema.scalar_schema import FORMATS


class Schemas:
    """Reads schemas of one source; named ones land in the draft's `types` once."""

    def __init__(self, sources: Sources, draft: Draft) -> None:
        self.draft = draft
        self.references = References(sources, draft)
        self.names: dict[Site, str] = {}
        self.sites: dict[str, Site] = {}
        self.settling = Settling(self.references, self.sites)
        self.all_of = AllOf(self.references)
        self.waiting: list[tuple[str, Any, Site]] = []
        self.draining = False

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
        if word := next((word for word in OPEN if word in schema), None):
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
        self.references.note(site, f"any JSON: {reason}")
        return {}

    def unsaid(self, schema: Schema, site: Site) -> None:
        for word in sorted(LOST & set(schema)):
            if schema[word] not in (False, 0, None):
                self.references.note(site, f"{word} is not checked here")
        if "discriminator" in schema:
            self.references.note(site, "the discriminator is an ordinary field; it chooses no type")

    def reference(self, schema: Schema, site: Site) -> Schema:
        more = carried(schema, "$ref")
        if more:
            self.references.note(site, f"beside $ref not carried over: {', '.join(more)}")
        try:
            target, there = self.references.follow(schema, site)
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
            name = identifier(site.name, self.draft.types, lambda name: name in RESERVED)
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
                merging, self.all_of.merging = self.all_of.merging, []
                self.draft.types[name] = self.read(schema, site)
                self.all_of.merging = merging
        finally:
            self.draining = False

    def read_merged(self, schema: Schema, site: Site) -> Schema:
        """allOf as one schema."""
        if site in self.all_of.merging:
            return self.any(site, "allOf that contains itself")
        self.all_of.merging.append(site)
        try:
            merged = self.all_of.merge(schema, site)
        finally:
            self.all_of.merging.pop()
        if merged is None:
            return self.any(site, "allOf of what cannot be one record") | _texts(schema)
        return self.read(merged, site)

    def union(self, schema: Schema, word: str, site: Site) -> Schema:
        members = schema[word] if isinstance(schema[word], list) else []
        rest = [(at, each) for at, each in enumerate(members) if each != {"type": "null"} and not _only_null(each)]
        nullable = len(rest) < len(members) or schema.get("nullable") is True
        beside = carried(schema, word, "type")
        if len(rest) != 1 or beside:
            if {key for key in schema if key in ("properties", "type")} == {"properties", "type"} and all(
                isinstance(each, dict) and set(each) <= {"required", "title", "description"} for _, each in rest
            ):
                self.references.note(site, f"{word} of required fields is not checked here")
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
            self.references.note(site, "enum of other than distinct strings or integers: only its type is checked")
            rest = {key: part for key, part in schema.items() if key not in ("enum", "const")}
            return self.typed(rest, site) if "type" in rest else {}
        listed = schema.get("type")
        null = None in given or schema.get("nullable") is True or (isinstance(listed, list) and "null" in listed)
        made: Schema = {"enum": values}
        return {"anyOf": [made, {"type": "null"}]} if null else made

    def typed(self, schema: Schema, site: Site) -> Schema:
        listed = schema.get("type")
        kinds = [listed] if isinstance(listed, str) else [each for each in items(listed) if isinstance(each, str)]
        nullable = schema.get("nullable") is True or "null" in kinds
        kinds = [kind for kind in kinds if kind != "null"]
        if not kinds:
            kinds = ["object"] if "properties" in schema or "additionalProperties" in schema else kinds
            kinds = ["array"] if "items" in schema else kinds
        if not kinds:
            known = carried(schema)
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
        for key in SCALAR:
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
        required = list(dict.fromkeys(key for key in items(given) if isinstance(key, str) and key in read))
        one_way = [key for key in required if _one_way(properties[key])]
        if one_way:
            self.references.note(site, f"may be left out, as only one direction has them: {', '.join(one_way)}")
            required = [key for key in required if key not in one_way]
        made: Schema = {"type": "object", "properties": read}
        return made | ({"required": required} if required else {})


def _texts(schema: Mapping[str, Any]) -> Schema:
    texts = {key: schema[key].strip() for key in ("description",) if isinstance(schema.get(key), str)}
    read_only = {"readOnly": True} if schema.get("readOnly") is True else {}
    return {key: text for key, text in texts.items() if text} | read_only


def _one_way(schema: Any) -> bool:
    return isinstance(schema, dict) and (schema.get("readOnly") is True or schema.get("writeOnly") is True)


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
