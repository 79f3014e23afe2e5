"""What keeps a typed HTTP call from working, found at publish time, each with the way out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from gateway.backend.http_request import PARAMETER
from gateway.core import headers
from gateway.core.findings import Finding, Place
from gateway.manifest.documents import HttpOperation
from gateway.schema.types import Array, Operation, Record, Types

Texts = tuple[str, str]

_LITERAL_PATH: Final = re.compile(r"(?:[A-Za-z0-9/._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*")
_BODILESS: Final = frozenset(("GET",))
_OWNED_HEADERS: Final = frozenset(
    (
        "connection", "content-length", "content-type", "expect", "host", "keep-alive", "te", "trailer",
        "transfer-encoding", "upgrade", "via",
    )
)  # fmt: skip


def check(config: HttpOperation, operation: Operation, types: Types) -> list[Finding]:
    """Everything that keeps the call from working, with the way out."""
    problems = [
        *_unknown(config, operation),
        *_unfit_path(config, operation),
        *_unfit_headers(config),
        *_unfit_rest(config, operation),
    ]
    if not problems:
        problems = list(_unfit_types(config, operation, types))
    place = Place(path=f"/operations/{operation.name}/http")
    return [Finding(place, "http-call", message, hint) for message, hint in problems]


def _path_of(config: HttpOperation) -> str:
    return config.request.partition(" ")[2]


def _used(config: HttpOperation) -> list[str]:
    found = PARAMETER.findall(_path_of(config)) + list(config.query.values())
    for value in config.headers.values():
        found += PARAMETER.findall(value)
    return found + ([config.body] if config.body is not None else [])


def _unknown(config: HttpOperation, operation: Operation) -> Iterator[Texts]:
    known = ", ".join(field.name for field in operation.input.fields) or "none"
    used = _used(config)
    for name in dict.fromkeys(used):
        if name not in operation.input:
            yield f"The request names {name or 'a parameter without a name'}, which is no input.", f"Inputs: {known}."
    for field in operation.input.fields:
        if field.name not in used:
            yield (
                f"The input {field.name} goes nowhere.",
                "Name it in the request's path, in query, headers or body, or take it out of the input.",
            )


def _unfit_path(config: HttpOperation, operation: Operation) -> Iterator[Texts]:
    path = _path_of(config)
    for literal in PARAMETER.split(path)[::2]:
        if _LITERAL_PATH.fullmatch(literal) is None:
            yield (
                f"The path {path} holds what a path cannot hold.",
                "Percent-encode it; parameters of the query go under query.",
            )
            break
    if any(segment in (".", "..") for segment in path.split("/")):
        yield f"The path {path} has a dot segment.", "Write the path that is meant."
    for name in PARAMETER.findall(path):
        if name in operation.input and not operation.input[name].required:
            yield f"{name} may be left out, and a path needs it.", "Make it required, or move it to the query."
        elif name in operation.input and operation.input[name].nullable:
            yield f"{name} may be null, which a path cannot say.", "Make it not nullable, or move it to the query."


def _unfit_headers(config: HttpOperation) -> Iterator[Texts]:
    for name, value in config.headers.items():
        if name.lower() in _OWNED_HEADERS:
            yield f"The header {name} is set by the gateway itself.", "Leave it out."
        try:
            headers.line(name.encode(), PARAMETER.sub("", value).encode())
        except ValueError as error:
            yield f"The header {name} cannot be sent: {error}.", "Write one line of plain text."


def _unfit_rest(config: HttpOperation, operation: Operation) -> Iterator[Texts]:
    method = config.request.partition(" ")[0]
    if config.body is not None and method in _BODILESS:
        yield f"A {method} request has no body.", "Use POST, PUT or PATCH, or send the parameter in the query."
    declared = {error.code for error in operation.errors}
    for status, code in config.errors.items():
        if code not in declared:
            known = ", ".join(sorted(declared)) or "none"
            yield f"The status {status} stands for {code}, which is not declared.", f"Declared errors: {known}."
        if not 300 <= status <= 599:
            yield f"The status {status} is no error.", "Errors are 300 to 599."


def _unfit_types(config: HttpOperation, operation: Operation, types: Types) -> Iterator[Texts]:
    in_query = set(config.query.values())
    for name in dict.fromkeys(_used(config)):
        if name == config.body:
            continue
        type_ = types.resolve(operation.input[name].type)
        if isinstance(type_, Array) and name in in_query:
            type_ = types.resolve(type_.item)
        if isinstance(type_, Record | Array):
            kind = "record" if isinstance(type_, Record) else "list"
            yield f"{name} is a {kind}, which does not travel as text.", "Send it as the body."
