"""Policy kinds for people: all of them by what they are for, or one with its settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from gateway.cli import output

FAMILIES: Final = {
    "authentication": "Who calls",
    "authorisation": "Who may do what",
    "traffic": "How often, and from where",
    "validation": "What messages must look like",
    "transformation": "What becomes of messages",
    "own": "Your own",
}


def tell_all(kinds: Sequence[Mapping[str, Any]]) -> None:
    for family, title in FAMILIES.items():
        found = [each for each in kinds if each["family"] == family]
        if found:
            output.out.print(output.shown(title, "bold"))
            output.table(found, ["name", "stage", "protects", "summary"], "")
            output.out.print()


def tell(kind: Mapping[str, Any]) -> None:
    """Settings as a table, then an example as a document writes it."""
    reads = " and the whole response" if kind["reply_stage"] == "BODY" else ""
    stage = {"HEAD": "the head of a request", "BODY": "the whole body of a request", "CALL": "the typed call"}[
        kind["stage"]
    ]
    output.out.print(output.shown(kind["name"], "bold"))
    output.out.print(output.shown(f"{kind['summary']}."))
    protects = " It protects: an endpoint with it is not open to everybody." if kind["protects"] else ""
    output.out.print(output.shown(f"It needs {stage}{reads}.{protects}"))
    output.out.print()
    output.table(list(settings(kind["config"])), ["setting", "type", "default", "meaning"], "It takes no settings.")
    given = orjson.dumps(kind["example"]).decode()
    output.out.print()
    output.out.print(
        output.shown(f"{{use: {kind['name']}, with: {given}}}" if kind["example"] else f"{{use: {kind['name']}}}")
    )


def settings(schema: Mapping[str, Any], within: str = "", depth: int = 0) -> Iterator[dict[str, Any]]:
    """A row for each setting, those of parts by their path."""
    root = schema
    yield from _rows(schema, root, within, depth)


def _rows(schema: Mapping[str, Any], root: Mapping[str, Any], within: str, depth: int) -> Iterator[dict[str, Any]]:
    required = set(schema.get("required", ()))
    for name, each in schema.get("properties", {}).items():
        part = _followed(each, root)
        path = f"{within}{name}"
        nested = _record(part, root) if depth < 2 else None
        yield {
            "setting": path,
            "type": "settings" if nested is not None else _type(part, root),
            "default": "required" if name in required else _default(part),
            "meaning": each.get("description") or part.get("description", ""),
        }
        if nested is not None:
            yield from _rows(nested, root, f"{path}.", depth + 1)


def _followed(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: Mapping[str, Any] = root.get("$defs", {}).get(reference.rpartition("/")[2], {})
    return {**found, **{name: each for name, each in schema.items() if name != "$ref"}}


def _branches(schema: Mapping[str, Any], root: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [_followed(each, root) for each in schema.get("anyOf", schema.get("oneOf", (schema,)))]


def _record(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The settings inside of a setting that is a record, or may be left out."""
    found = [each for each in _branches(schema, root) if each.get("type") != "null"]
    return found[0] if len(found) == 1 and found[0].get("properties") else None


def _type(schema: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    words = [_word(each, root) for each in _branches(schema, root) if each.get("type") != "null"]
    return " or ".join(dict.fromkeys(words))


def _word(schema: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    if "enum" in schema or "const" in schema:
        return ", ".join(map(str, schema.get("enum", [schema.get("const")])))
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_type(_followed(schema.get('items', {}), root), root)}"
    if kind == "object":
        values = schema.get("additionalProperties")
        return f"map of {_type(_followed(values, root), root)}" if isinstance(values, dict) and values else "map"
    return {"integer": "number", "boolean": "true, false", "string": "text"}.get(str(kind), str(kind))


def _default(schema: Mapping[str, Any]) -> str:
    value = schema.get("default")
    return (
        "" if value is None or value in ([], {}) else value if isinstance(value, str) else orjson.dumps(value).decode()
    )
