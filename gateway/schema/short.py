"""The short forms that manifests may write wherever a JSON Schema stands.

| short | means |
|---|---|
| `int32`, `int64`, `float`, `double`, `string`, `boolean` | the scalar |
| `decimal`, `decimal(12,2)` | a decimal; 12 digits in all, 2 behind the point |
| `string(40)`, `bytes(1000)` | at most 40 characters, at most 1000 bytes |
| `date`, `datetime`, `time`, `duration`, `uuid`, `bytes` | a string of that format |
| `any` | any JSON |
| `Line` | the named type |
| `[Line]` or `["Line"]` | a list of it |
| a `?` behind any of them | it may be null as well |

A mapping is a JSON Schema, never a map of fields; short forms may stand inside of it (`properties`, `items`,
`anyOf`). A word of this table is the scalar even where a type has the same name.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from typing import Any, Final, get_args

from gateway.schema.json_schema_write import REFERENCE, write
from gateway.schema.types import Scalar, ScalarKind

KINDS: Final[dict[str, ScalarKind]] = {kind: kind for kind in get_args(ScalarKind)}
_SIZED: Final = re.compile(r"(decimal|string|bytes)\(\s*([0-9]{1,9})\s*(?:,\s*([0-9]{1,9})\s*)?\)")
_SCHEMA_WORDS: Final = frozenset(
    ("type", "$ref", "enum", "const", "anyOf", "oneOf", "allOf", "not", "properties", "items", "format",
     "title", "description", "default")
)  # fmt: skip


def expand(schema_like: Any, named: Collection[str] = ()) -> dict[str, Any]:
    """The JSON Schema of a short form. ValueError says which word is not known and what comes near it."""
    if isinstance(schema_like, str):
        return _text(schema_like.strip(), named)
    if isinstance(schema_like, list | tuple):
        if len(schema_like) != 1:
            raise ValueError("a list of exactly one type stands for a list of it: [Line]")
        return {"type": "array", "items": expand(schema_like[0], named)}
    if schema_like is True:
        return {}
    if isinstance(schema_like, Mapping):
        return _mapping(schema_like, named)
    raise ValueError(
        f"a type must be a word such as string, a list such as [Line], or a JSON Schema; not {schema_like!r}"
    )


def _mapping(schema: Mapping[str, Any], named: Collection[str]) -> dict[str, Any]:
    if schema and not _SCHEMA_WORDS & set(schema):
        first = next(iter(schema))
        raise ValueError(
            f"{first!r} is no keyword of JSON Schema; "
            f"an object is written as {{type: object, properties: {{{first}: …}}}}"
        )
    result = dict(schema)
    properties = schema.get("properties")
    if isinstance(properties, Mapping):
        result["properties"] = {name: expand(part, named) for name, part in properties.items()}
    if "items" in schema:
        result["items"] = expand(schema["items"], named)
    if isinstance(schema.get("anyOf"), list | tuple):
        result["anyOf"] = [expand(part, named) for part in schema["anyOf"]]
    return result


def _text(text: str, named: Collection[str]) -> dict[str, Any]:
    if text.endswith("?"):
        return _nullable(_text(text[:-1].rstrip(), named))
    if text.startswith("[") and text.endswith("]"):
        return {"type": "array", "items": _text(text[1:-1].strip(), named)}
    if text == "any":
        return {}
    if text in KINDS:
        return write(Scalar(KINDS[text]))
    if (sized := _SIZED.fullmatch(text)) is not None:
        return write(_sized(text, sized))
    if text in named:
        return {"$ref": REFERENCE + text}
    raise ValueError(_unknown(text, named))


def _sized(text: str, sized: re.Match[str]) -> Scalar:
    kind, first, second = KINDS[sized[1]], int(sized[2]), sized[3]
    if kind != "decimal":
        if second is not None:
            raise ValueError(f"{kind} takes one number, its greatest length: {kind}({first}), not {text}")
        return Scalar(kind, max_length=first)
    scale = int(second or 0)
    if not 1 <= first <= 1000 or scale > first:
        raise ValueError(f"{text}: digits in all (1 to 1000), then those behind the point, such as decimal(12,2)")
    return Scalar("decimal", precision=first, scale=scale)


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    kinds = schema.get("type")
    if not schema or kinds is None or kinds in ("array", "object") or "enum" in schema:
        return {"anyOf": [schema, {"type": "null"}]} if schema else {}
    listed = kinds if isinstance(kinds, list) else [kinds]
    return schema if "null" in listed else schema | {"type": [*listed, "null"]}


def _unknown(text: str, named: Collection[str]) -> str:
    words = [*KINDS, "any"]
    near = difflib.get_close_matches(text, [*words, *named], n=3)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    types = f"; named types: {', '.join(sorted(named))}" if named else ""
    return f"there is no type {text!r}.{hint} Known words: {', '.join(words)}{types}."
