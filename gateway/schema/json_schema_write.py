"""JSON Schema 2020-12 out of the type table. References are `{"$ref": "#/types/Name"}`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from gateway.schema.enumerations import member_names
from gateway.schema.lexical import FORMATTERS
from gateway.schema.scalar_schema import write_scalar
from gateway.schema.types import AnyType, Array, Enumeration, Field, Record, Ref, Scalar, Type, Types

REFERENCE = "#/types/"
Reference = Callable[[str], str]


def _reference(name: str) -> str:
    return REFERENCE + name


def write(type_: Type, nullable: bool = False, reference: Reference = _reference) -> dict[str, Any]:
    """The schema of a type. A named record is written whole; `reference` makes a `$ref` of a type's name."""
    if isinstance(type_, AnyType):
        return {}
    schema = _write(type_, reference)
    if not nullable:
        return schema
    if isinstance(type_, Scalar):
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        return schema | {"type": [*kinds, "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def write_types(types: Types, reference: Reference = _reference) -> dict[str, dict[str, Any]]:
    """The schemas of all named types, aliases too."""
    written = {name: write(type_, False, reference) for name, type_ in types.items()}
    return written | {name: write(type_, nullable, reference) for name, (type_, nullable) in types.aliases.items()}


def _write(type_: Type, reference: Reference) -> dict[str, Any]:
    if isinstance(type_, Scalar):
        return write_scalar(type_)
    if isinstance(type_, Ref):
        return {"$ref": reference(type_.name)}
    if isinstance(type_, Array):
        return _write_array(type_, reference)
    if isinstance(type_, Enumeration):
        return _write_enumeration(type_)
    if isinstance(type_, Record):
        return _write_record(type_, reference)
    return {}


def _write_array(array: Array, reference: Reference) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "array", "items": write(array.item, array.nullable_items, reference)}
    if array.min_items is not None:
        schema["minItems"] = array.min_items
    if array.max_items is not None:
        schema["maxItems"] = array.max_items
    return schema


def _write_enumeration(enumeration: Enumeration) -> dict[str, Any]:
    of_text = isinstance(enumeration.values[0], str)
    schema: dict[str, Any] = {"type": "string" if of_text else "integer", "enum": list(enumeration.values)}
    if enumeration.names != member_names(enumeration.values):
        schema["x-enum-varnames"] = list(enumeration.names)
    return schema | _texts("", enumeration.description)


def _write_record(record: Record, reference: Reference) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {part.name: _write_field(part, reference) for part in record.fields},
    }
    if required := [part.name for part in record.fields if part.required]:
        schema["required"] = required
    return schema | {"additionalProperties": False} | _texts(record.title, record.description)


def _write_field(part: Field, reference: Reference) -> dict[str, Any]:
    schema = write(part.type, part.nullable, reference)
    schema = schema | _texts(part.title, part.description)
    if part.default is not None:
        schema["default"] = _plain(part.default)
    return schema | ({"readOnly": True} if part.read_only else {})


def _texts(title: str, description: str) -> dict[str, Any]:
    return ({"title": title} if title else {}) | ({"description": description} if description else {})


_KINDS: tuple[tuple[type, Callable[[Any], str]], ...] = (
    (Decimal, FORMATTERS["decimal"]),
    (datetime, FORMATTERS["datetime"]),
    (date, FORMATTERS["date"]),
    (time, FORMATTERS["time"]),
    (timedelta, FORMATTERS["duration"]),
    (UUID, FORMATTERS["uuid"]),
    (bytes, FORMATTERS["bytes"]),
)


def _plain(value: Any) -> Any:
    """A canonical value as JSON: its class tells its spelling."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return next((spell(value) for kind, spell in _KINDS if isinstance(value, kind)), value)
