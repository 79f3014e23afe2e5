"""Schemas in the short form that people write in a manifest (DESIGN §7): `string?`, `[Line]`."""

from __future__ import annotations

import re
from typing import Any, Final

from gateway.manifest.imports.keywords import Schema
from gateway.schema.short import KINDS

RESERVED: Final = frozenset((*KINDS, "any"))  # words that no type can have for a name
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
        return name if _TYPE_NAME.fullmatch(name) and name not in RESERVED else None
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
