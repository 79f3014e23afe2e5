"""The types and contracts of a version: its own and its processes', short forms written out, all of them checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.core.findings import DocumentsRefused
from gateway.manifest.bundle import ContractPart, DeclaredErrorPart, Schema
from gateway.manifest.documents import Operation
from gateway.manifest.plain_words import near
from gateway.manifest.site import Keys, Version
from gateway.schema import json_schema, short
from gateway.schema.contract import read_operation
from gateway.schema.types import Types

Described = Mapping[str, Mapping[str, Any]]  # process: {"contract": {…}, "types": {Name: schema}}

_EFFECTS: Final = {"GET": "safe", "PUT": "idempotent", "DELETE": "idempotent"}
_ANY: Final[Schema] = {}


def types_of(version: Version, processes: Described) -> dict[str, Schema]:
    """The version's own named types and those of the processes that it uses, in full form."""
    own = version.manifest.types
    taken: dict[str, Schema] = {}
    owners: dict[str, str] = {}
    for name, operation in version.manifest.operations.items():
        described = processes.get(operation.python or "")
        for type_name, schema in (described or {}).get("types", {}).items():
            if taken.setdefault(type_name, schema) != schema:
                message = f"{operation.python} and {owners[type_name]} both have a type {type_name}, and they differ."
                version.refuse(("operations", name), "type-clash", message, "Rename one of the two classes.")
            owners.setdefault(type_name, str(operation.python))
    named = {*own, *taken}
    for name, schema_like in own.items():
        schema = _expand(version, schema_like, named, ("types", name))
        if name in taken and taken[name] != schema:
            message = f"the type {name} is not the one that the process {owners[name]} has under this name."
            version.refuse(("types", name), "type-clash", message, "Rename it, or leave it out to use the process's.")
        taken[name] = schema
    return taken


def read_types(version: Version, types: Mapping[str, Schema]) -> Types:
    try:
        return json_schema.read_types(types, "")
    except DocumentsRefused as refused:
        version.adopt(refused, ("types",))
        return Types()


def contracts_of(
    version: Version, types: Mapping[str, Schema], processes: Described, away: Sequence[str] = ()
) -> dict[str, ContractPart]:
    """The contract of every operation. What is wrong with types is told first; only then contracts are read whole.
    `away` tells of runtimes that could not be asked for their processes."""
    before = len(version.findings)
    table = read_types(version, types)
    readable = len(version.findings) == before
    found = {}
    for name, operation in version.manifest.operations.items():
        keys = ("operations", name)
        wrong = len(version.findings)
        contract = _contract(version, operation, set(types), processes, keys, away)
        if contract is None:
            continue
        found[name] = contract
        if readable and operation.python is None and len(version.findings) == wrong:
            _check(version, name, contract, table)
    return found


def _check(version: Version, name: str, contract: ContractPart, types: Types) -> None:
    try:
        read_operation(name, contract.model_dump(mode="json"), types)
    except DocumentsRefused as refused:
        moved = [finding.place.path.replace("/input/properties/", "/input/", 1) for finding in refused.findings]
        for finding, path in zip(refused.findings, moved, strict=True):
            keys = tuple(part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:])
            version.refuse(("operations", name, *keys), finding.code, finding.message, finding.hint)


def _contract(
    version: Version, operation: Operation, named: set[str], processes: Described, keys: Keys, away: Sequence[str]
) -> ContractPart | None:
    if operation.python is not None:
        return _process(version, operation, processes, keys, away)
    if operation.http is None and operation.soap is None and operation.fixed is None:
        return None  # `check` tells that an operation needs exactly one kind
    if (operation.http is not None or operation.soap is not None) and operation.input is None:
        hint = "Write its parameters: input: {country: string}; input: {} for none."
        version.refuse(keys, "contract", f"the operation {keys[-1]} has no input.", hint)
    if operation.output is None and "output" not in operation.model_fields_set:
        version.refuse(keys, "contract", f"the operation {keys[-1]} has no output.", "Name a type: output: Tax.")
    output = operation.output
    return ContractPart(
        effect=operation.effect or _effect(operation),
        input=_input(version, operation, named, keys),
        output=None if output is None else _expand(version, output, named, (*keys, "output")),
        errors=_errors(version, operation, named, keys),
        summary=operation.summary,
        description=operation.description,
    )


def _effect(operation: Operation) -> str:
    if operation.soap is not None:
        return "writing"
    if operation.http is None:
        return "safe"
    return _EFFECTS.get(operation.http.request.partition(" ")[0], "writing")


def _input(version: Version, operation: Operation, named: set[str], keys: Keys) -> Schema:
    """An object schema. A parameter must be given unless it may be null or has a default."""
    given = operation.input or {}
    properties = {name: _expand(version, schema, named, (*keys, "input", name)) for name, schema in given.items()}
    required = [name for name, schema in properties.items() if not _nullable(schema) and "default" not in schema]
    schema: Schema = {"type": "object", "properties": properties}
    return schema | ({"required": required} if required else {}) | {"additionalProperties": False}


def _nullable(schema: Schema) -> bool:
    kinds = schema.get("type")
    members = schema.get("anyOf", ())
    return (isinstance(kinds, list) and "null" in kinds) or {"type": "null"} in members or schema == _ANY


def _errors(version: Version, operation: Operation, named: set[str], keys: Keys) -> dict[str, DeclaredErrorPart]:
    found = {}
    for code, declared in (operation.errors or {}).items():
        detail = declared.detail
        schema = None if detail is None else _expand(version, detail, named, (*keys, "errors", code, "detail"))
        found[code] = DeclaredErrorPart(status=declared.status, title=declared.title, detail=schema)
    return found


def _process(
    version: Version, operation: Operation, processes: Described, keys: Keys, away: Sequence[str]
) -> ContractPart | None:
    name = str(operation.python)
    for key in ("input", "output", "errors"):
        if getattr(operation, key) is not None:
            hint = "Leave it out, or change the function's annotations."
            version.refuse((*keys, key), "contract", f"{key} is read from the process {name}'s annotations.", hint)
    described = processes.get(name)
    if described is None:
        hint = f"{near(name, processes)} Is its package given by --processes, or its runtime by --runtimes?"
        hint = " ".join((hint, *away))
        version.refuse((*keys, "python"), "unknown-process", f"no runtime has registered a process {name!r}.", hint)
        return None
    contract = dict(described["contract"])
    own = {"effect": operation.effect, "summary": operation.summary, "description": operation.description}
    return ContractPart.model_validate(contract | {key: value for key, value in own.items() if value})


def _expand(version: Version, schema_like: Any, named: set[str], keys: Keys) -> Schema:
    try:
        return short.expand(schema_like, named)
    except ValueError as error:
        version.refuse(keys, "type", str(error))
        return {}
