"""The type table out of JSON Schema 2020-12, the dialect of OpenAPI 3.1.

References are `{"$ref": "#/types/Name"}`; `#/$defs/` and `#/components/schemas/` mean the same. An object is closed:
`additionalProperties` is false, whether it says so or not. What is not supported is refused with its key path (a JSON
pointer, RFC 6901) and a hint; nothing is ever skipped. `write` and `write_types` are the way back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

from gateway.core.errors import InvalidInput
from gateway.core.findings import DocumentsRefused, Finding, Place
from gateway.schema.enumerations import member_names
from gateway.schema.json_codec import reader
from gateway.schema.json_schema_write import write, write_types
from gateway.schema.patterns import matcher
from gateway.schema.scalar_schema import FORMATS, KEYWORDS, kind_of, read_scalar
from gateway.schema.types import AnyType, Array, Enumeration, Field, Record, Ref, Scalar, Type, Types

__all__ = ["read", "read_types", "write", "write_types"]

_ANNOTATIONS: Final = frozenset(
    ("title", "description", "default", "readOnly", "writeOnly", "examples", "example", "deprecated", "$comment",
     "externalDocs", "$schema", "$id")
)  # fmt: skip
_OBJECT: Final = frozenset(("type", "properties", "required", "additionalProperties"))
_ARRAY: Final = frozenset(("type", "items", "minItems", "maxItems"))
_ENUM: Final = frozenset(("type", "enum", "const", "x-enum-varnames", "format"))
_REFERENCES: Final = ("#/types/", "#/$defs/", "#/components/schemas/")
_DECIMAL: Final = (["number", "string"], ["integer", "string"])
_HINTS: Final = {
    "oneOf": "Use one record with optional fields; of unions only the one with null is supported.",
    "allOf": "Write the fields of all parts into one object.",
    "anyOf": "Use one record with optional fields; of unions only the one with null is supported.",
    "not": "State what is allowed instead.",
    "patternProperties": "Name the properties, or use a list of records with a key and a value.",
    "prefixItems": "Use an object with named properties instead of a tuple.",
    "uniqueItems": "Leave it out and check it in the operation.",
    "if": "Use one record with optional fields.",
    "$defs": "Put named types under the component's types.",
    "multipleOf": "Use format: decimal with x-scale to limit the digits behind the point.",
}


class Read(NamedTuple):
    type: Type
    nullable: bool


_ANY: Final = Read(AnyType(), False)


def read(schema: Any, types_or_names: Types | Collection[str], name: str, path: str = "") -> tuple[Type, bool]:
    """(type, nullable) of a schema. An object or enumeration without a name becomes one named `name`; those inside of
    it get their property's name behind an underscore. `path` is the schema's own place in its document.
    DocumentsRefused holds everything that is wrong."""
    reading = _Reading(types_or_names)
    result = reading.read(schema, name, path)
    reading.finish()
    return result.type, result.nullable


def read_types(schemas: Mapping[str, Any], path: str = "/types") -> Types:
    """All named types of a version. A name of a scalar, a list or any JSON is an alias. DocumentsRefused."""
    aliases = {name: schema for name, schema in schemas.items() if not _is_named(schema)}
    named = [name for name in schemas if name not in aliases]
    first = _Reading(named, schemas=aliases, path=path)
    draft = first.table(schemas, named)
    first.finish()
    second = _Reading(draft, path=path)  # defaults may be of types that the first pass had not read
    table = second.table(schemas, named)
    second.finish()
    return table


def _is_named(schema: Any) -> bool:
    return isinstance(schema, Mapping) and (
        "properties" in schema or schema.get("type") == "object" or "enum" in schema or "const" in schema
    )


def _pointer(path: str, *keys: str | int) -> str:
    return path + "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in keys)


class _Reading:
    """One pass over schemas, with what it found wrong."""

    def __init__(
        self, known: Types | Collection[str], schemas: Mapping[str, Any] | None = None, path: str = ""
    ) -> None:
        self.names = frozenset(known)
        self.types = known if isinstance(known, Types) else None
        self.aliases: dict[str, Read] = {}
        if isinstance(known, Types):
            self.aliases = {name: Read(*alias) for name, alias in known.aliases.items()}
        self.pending = dict(schemas or {})
        self.open = frozenset(self.pending)
        self.path = path
        self.findings: list[Finding] = []

    def finish(self) -> None:
        if self.findings:
            raise DocumentsRefused(self.findings)

    def refuse(self, path: str, message: str, hint: str = "", code: str = "schema") -> Read:
        self.findings.append(Finding(Place(path=path or "/"), code, f"{message}.", hint))
        return _ANY

    def table(self, schemas: Mapping[str, Any], named: Collection[str]) -> Types:
        for name in list(self.pending):
            self.alias(name, _pointer(self.path, name))
        read_ = {name: self.read(schemas[name], name, _pointer(self.path, name)).type for name in named}
        records = {name: type_ for name, type_ in read_.items() if isinstance(type_, Record | Enumeration)}
        return Types(records, dict(self.aliases))

    def alias(self, name: str, path: str) -> Read:
        """What a name stands for that is neither a record nor an enumeration."""
        if name in self.aliases:
            return self.aliases[name]
        if name not in self.pending:  # it is being read further up
            return self.refuse(path, f"the type {name} refers to itself", "Give it a type of its own.")
        schema = self.pending.pop(name)
        self.aliases[name] = result = self.read(schema, name, _pointer(self.path, name))
        return result

    def read(self, schema: Any, name: str, path: str) -> Read:
        if schema is True or schema == {}:
            return _ANY
        if not isinstance(schema, Mapping):
            return self.refuse(path, f"a schema must be an object, not {type(schema).__name__}")
        if "$ref" in schema:
            return self.reference(schema, path)
        if "anyOf" in schema or "oneOf" in schema:
            return self.union(schema, name, path)
        if "enum" in schema or "const" in schema:
            return self.enumeration(schema, name, path)
        return self.typed(schema, name, path)

    def typed(self, schema: Mapping[str, Any], name: str, path: str) -> Read:
        kinds = schema.get("type")
        listed = [kinds] if isinstance(kinds, str) else list(kinds or ()) if isinstance(kinds, list | tuple) else []
        nullable = "null" in listed
        rest = [kind for kind in listed if kind != "null"]
        if "properties" in schema and not listed:
            rest = ["object"]
        if sorted(rest, key=str) in _DECIMAL and schema.get("format") == "decimal":
            rest = ["number"]
        if not rest and not nullable and set(schema) <= _ANNOTATIONS:
            return _ANY
        if len(rest) != 1:
            return self.refuse(
                _pointer(path, "type"),
                f"{kinds!r} is not one type" if listed else "the schema has no type",
                "Name one type, and null beside it if it may be null; leave the schema empty for any JSON.",
            )
        if rest[0] == "object":
            return Read(self.record(schema, name, path), nullable)
        if rest[0] == "array":
            return Read(self.array(schema, name, path), nullable)
        return Read(self.scalar(rest[0], schema, path), nullable)

    def allow(self, schema: Mapping[str, Any], path: str, words: frozenset[str]) -> None:
        for keyword in schema:
            if keyword not in words and keyword not in _ANNOTATIONS:
                self.refuse(
                    _pointer(path, keyword),
                    f"{keyword} is not supported here",
                    _HINTS.get(keyword, f"Supported here: {', '.join(sorted(words))}."),
                    "schema-keyword",
                )

    def reference(self, schema: Mapping[str, Any], path: str) -> Read:
        target, where = schema["$ref"], _pointer(path, "$ref")
        self.allow(schema, path, frozenset(("$ref",)))
        prefix = next((known for known in _REFERENCES if str(target).startswith(known)), None)
        if prefix is None:
            return self.refuse(where, f"{target!r} is no reference to a named type", 'Write "#/types/Name".')
        name = target.removeprefix(prefix)
        if name in self.aliases or name in self.open:
            return self.alias(name, where)
        if name in self.names:
            return Read(Ref(name), False)
        known = ", ".join(sorted({*self.names, *self.aliases})) or "none"
        return self.refuse(where, f"there is no type named {name}", f"Types that exist: {known}.", "unknown-type")

    def union(self, schema: Mapping[str, Any], name: str, path: str) -> Read:
        word = "anyOf" if "anyOf" in schema else "oneOf"
        members = schema[word] if isinstance(schema[word], list | tuple) else []
        rest = [(at, member) for at, member in enumerate(members) if member != {"type": "null"}]
        if len(rest) != 1:
            return self.refuse(_pointer(path, word), "a union of several types is not supported", _HINTS[word])
        self.allow(schema, path, frozenset((word,)))
        at, member = rest[0]
        result = self.read(member, name, _pointer(path, word, at))
        return Read(result.type, result.nullable or len(members) > 1)

    def enumeration(self, schema: Mapping[str, Any], name: str, path: str) -> Read:
        self.allow(schema, path, _ENUM)
        given = schema["enum"] if "enum" in schema else [schema["const"]]
        values = tuple(value for value in given if value is not None) if isinstance(given, list | tuple) else ()
        same = all(type(value) is str for value in values) or all(type(value) is int for value in values)
        if not values or not same or len(set(values)) != len(values):
            hint = "List distinct strings, or distinct integers; null may be among them."
            return self.refuse(_pointer(path, "enum" if "enum" in schema else "const"), "not an enumeration", hint)
        names = tuple(schema.get("x-enum-varnames") or member_names(values))
        if len(set(names)) != len(values) or not all(isinstance(each, str) for each in names):
            return self.refuse(_pointer(path, "x-enum-varnames"), f"{len(values)} distinct names are needed")
        return Read(Enumeration(name, values, names, schema.get("description", "")), None in given)

    def array(self, schema: Mapping[str, Any], name: str, path: str) -> Array:
        self.allow(schema, path, _ARRAY)
        item = self.read(schema.get("items", True), name, _pointer(path, "items"))
        limits = [schema.get(word) for word in ("minItems", "maxItems")]
        if not all(limit is None or (type(limit) is int and limit >= 0) for limit in limits):
            self.refuse(path, "minItems and maxItems must be whole numbers, 0 or more")
        return Array(item.type, item.nullable, *limits)

    def scalar(self, json_type: Any, schema: Mapping[str, Any], path: str) -> Scalar:
        if json_type not in FORMATS:
            self.refuse(_pointer(path, "type"), f"{json_type!r} is no type of JSON Schema")
            return Scalar("string")
        self.allow(schema, path, KEYWORDS)
        kind = kind_of(json_type, schema)
        if kind is None:
            known = ", ".join(sorted(known for known in FORMATS[json_type] if known))
            message = f"the format {schema.get('format')!r} of {json_type} is not supported"
            self.refuse(_pointer(path, "format"), message, f"Known: {known or 'none'}; or leave it out.")
            return Scalar("string")
        scalar, wrong = read_scalar(kind, schema)
        for keyword, message in wrong:
            self.refuse(_pointer(path, keyword), message, _HINTS.get(keyword, ""))
        if scalar.pattern is not None:
            try:
                matcher(scalar.pattern)
            except ValueError as error:
                self.refuse(_pointer(path, "pattern"), str(error), code="schema-pattern")
        return scalar

    def record(self, schema: Mapping[str, Any], name: str, path: str) -> Record:
        self.allow(schema, path, _OBJECT)
        properties, required = schema.get("properties"), schema.get("required", ())
        if schema.get("additionalProperties", False) is not False:
            hint = "Name the properties, or leave the schema empty for any JSON."
            self.refuse(_pointer(path, "additionalProperties"), "an open object is not supported", hint)
        elif properties is None and "additionalProperties" not in schema:
            self.refuse(path, "the object names no properties", "Name them, or leave the schema empty for any JSON.")
        if not isinstance(properties or {}, Mapping) or not isinstance(required, list | tuple):
            self.refuse(path, "properties must be an object, required a list of names")
            return Record(name, ())
        properties = properties or {}
        for missing in [word for word in required if word not in properties]:
            self.refuse(_pointer(path, "required"), f"{missing!r} is required and not among the properties")
        parts = (
            self.field(key, part, key in required, f"{name}_{key}", _pointer(path, "properties", key))
            for key, part in properties.items()
        )
        return Record(name, tuple(parts), schema.get("description", ""), schema.get("title", ""))

    def field(self, key: str, schema: Any, required: bool, name: str, path: str) -> Field:
        result = self.read(schema, name, path)
        texts = schema if isinstance(schema, Mapping) else {}
        type_ = result.type
        if isinstance(type_, Record):
            type_ = replace(type_, description="", title="")
        elif isinstance(type_, Enumeration):
            type_ = replace(type_, description="")
        return Field(
            key,
            type_,
            required,
            result.nullable,
            self.default(texts, Read(type_, result.nullable), path),
            str(texts.get("description", "")),
            bool(texts.get("readOnly", False)),
            str(texts.get("title", "")),
        )

    def default(self, schema: Mapping[str, Any], of: Read, path: str) -> Any:
        value = schema.get("default")
        if value is None or self.types is None or self.findings:
            return value
        try:
            return reader(of.type, of.nullable, self.types)(value)
        except InvalidInput as error:
            wrong = "; ".join(f"{detail.target} {detail.message}" for detail in error.details)
            self.refuse(_pointer(path, "default"), f"the default does not fit its own type: {wrong}")
            return None
