"""Parts of an OpenAPI document: parameters, bodies, responses and the schema of problem details."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from gateway.frontend.rest.binding import Bound, Parameter
from gateway.frontend.rest.problems import MEDIA_TYPE
from gateway.schema.types import AnyType, Array, Field, Operation, Record, Type

Document = dict[str, Any]
Write = Callable[..., Document]  # (type, nullable=False) -> its schema

_PATH_TEXT: Final = "^[^\\u0000]+$"
_HEADER_TEXT: Final = "^([!-~]([ -~]*[!-~])?)?$"

PROBLEM: Final[Document] = {
    "type": "object",
    "description": "Problem details (RFC 9457).",
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "instance": {"type": "string", "format": "uri-reference"},
        "code": {"type": "string", "description": "Stable; what clients switch on."},
        "id": {"type": "string", "description": "The request's id, which the gateway's log has too."},
        "target": {"type": "string", "description": "The place in the input, such as $.lines[2].sku or query.limit."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {name: {"type": "string"} for name in ("target", "code", "message")},
                "required": ["target", "code", "message"],
            },
        },
    },
    "required": ["type", "title", "status", "instance", "code", "id"],
}


def parameter(part: Parameter, name: str, write: Write) -> Document:
    """A parameter object. `name` is the template's own for a path parameter."""
    described: Document = {"name": name, "in": part.where, "required": part.required}
    field = replace(part.field, nullable=False, type=_without_null(part.field.type))
    schema: Document = write(Record("", (field,)))["properties"][field.name]
    description = schema.pop("description", "")
    if part.field.nullable and not part.required:
        description = f"{description} Left out: null.".strip()
    if description:
        described["description"] = description
    if isinstance(field.type, AnyType):
        return described | {"content": {"application/json": {"schema": schema}}}
    if isinstance(field.type, Array):
        described |= {"style": "form", "explode": True}
    return described | {"schema": _restricted(schema, part.where)}


def _without_null(type_: Type) -> Type:
    """The items of a list in a query cannot be null either."""
    return replace(type_, nullable_items=False) if isinstance(type_, Array) else type_


def _restricted(schema: Document, where: str) -> Document:
    """What a segment or a header field can carry at all."""
    if schema.get("type") != "string" or "format" in schema or where == "query":
        return schema
    if where == "path":
        return {"pattern": _PATH_TEXT} | schema | {"minLength": max(1, schema.get("minLength", 1))}
    return {"pattern": _HEADER_TEXT} | schema


def body(bound: Bound, name: str, write: Write) -> Document:
    whole: Field | None = bound.whole
    schema = write(whole.type, whole.nullable) if whole is not None else write(Record(name, bound.properties))
    described: Document = {"required": bound.body_required, "content": {"application/json": {"schema": schema}}}
    return described | ({"description": whole.description} if whole is not None and whole.description else {})


def success(operation: Operation, write: Write, located: bool) -> Document:
    if operation.output is None:
        return {"description": "Done; nothing comes back."}
    schema = write(operation.output, operation.output_nullable)
    described: Document = {"description": "Done.", "content": {"application/json": {"schema": schema}}}
    if located:
        described["description"] = "Accepted; the status URL tells what became of it."
        described["headers"] = {"Location": {"schema": {"type": "string", "format": "uri-reference"}}}
    return described


def problem_response(text: str, reference: str, details: list[Document]) -> Document:
    schema: Document = {"$ref": reference}
    if details:
        schema = {"allOf": [schema, details[0] if len(details) == 1 else {"anyOf": details}]}
    return {"description": text, "content": {MEDIA_TYPE.decode(): {"schema": schema}}}
