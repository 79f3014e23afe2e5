"""An operation's contract as JSON: what bundles and snapshots hold of it, to and from `Operation`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.core.findings import DocumentsRefused, Finding, Place
from gateway.schema import json_schema
from gateway.schema.types import DeclaredError, Operation, Record, Types


def read_operation(name: str, contract: Mapping[str, Any], types: Types) -> Operation:
    """`contract` has effect, input (an object schema), output (a schema or None), errors ({code: {status, title,
    detail}}), summary, description; other keys (its digest) are not the operation's. DocumentsRefused."""
    schema = contract.get("input") or {"type": "object", "properties": {}}
    given, nullable = json_schema.read(schema, types, f"{name}_input", "/input")
    input_ = types.resolve(given)
    if not isinstance(input_, Record) or nullable:
        raise DocumentsRefused([_no_record(name)])
    output = contract.get("output")
    kind, output_nullable = (
        (None, False) if output is None else json_schema.read(output, types, f"{name}_output", "/output")
    )
    return Operation(
        name,
        contract.get("effect") or "writing",
        input_,
        kind,
        output_nullable,
        tuple(_read_error(name, code, given, types) for code, given in (contract.get("errors") or {}).items()),
        contract.get("summary") or "",
        contract.get("description") or "",
    )


def _no_record(name: str) -> Finding:
    message = f"the input of {name} is not an object schema"
    return Finding(Place(path="/input"), "schema", message, "Write one property per parameter.")


def _read_error(name: str, code: str, given: Mapping[str, Any], types: Types) -> DeclaredError:
    detail = given.get("detail")
    type_ = None if detail is None else json_schema.read(detail, types, f"{name}_{code}", f"/errors/{code}/detail")[0]
    return DeclaredError(code, given["status"], given.get("title") or code, type_)


def write_operation(operation: Operation) -> dict[str, Any]:
    """Plain JSON, as `read_operation` reads it."""
    output = operation.output
    return {
        "effect": operation.effect,
        "input": json_schema.write(operation.input),
        "output": None if output is None else json_schema.write(output, operation.output_nullable),
        "errors": {
            error.code: {
                "status": error.status,
                "title": error.title,
                "detail": None if error.detail is None else json_schema.write(error.detail),
            }
            for error in operation.errors
        },
        "summary": operation.summary,
        "description": operation.description,
    }
