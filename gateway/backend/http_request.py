"""The request of a typed HTTP call: path, query, header fields and JSON body out of canonical input values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import orjson

from gateway.core import headers
from gateway.core.errors import InvalidInput
from gateway.core.findings import Finding, Place
from gateway.core.headers import Fields
from gateway.manifest.documents import HttpOperation
from gateway.schema.json_codec import writer
from gateway.schema.text import TextWriter, text_writer
from gateway.schema.types import Array, Operation, Record, Types

Input = dict[str, Any]
Parts = tuple[str | tuple[str, TextWriter], ...]  # literal text, or a parameter with its writer

_PARAMETER: Final = re.compile(r"\{([^{}]*)\}")
_LITERAL_PATH: Final = re.compile(r"(?:[A-Za-z0-9/._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*")
_DOTS: Final = frozenset(("", ".", ".."))
_BODILESS: Final = frozenset(("GET",))
_OWNED_HEADERS: Final = frozenset(
    (
        "connection", "content-length", "content-type", "expect", "host", "keep-alive", "te", "trailer",
        "transfer-encoding", "upgrade", "via",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """Compiled. `of` gives the request target, the header fields and the body of one call."""

    method: bytes
    path: tuple[Parts, ...]  # its segments
    query: tuple[Callable[[Input], list[str]], ...]
    fields: tuple[tuple[str, Parts], ...]
    fixed: tuple[tuple[bytes, bytes], ...]
    body: Callable[[Input], bytes] | None

    def of(self, input_: Input) -> tuple[bytes, Fields, bytes]:
        target = "/".join(_segment(parts, input_) for parts in self.path)
        pairs = [pair for write in self.query for pair in write(input_)]
        if pairs:
            target += "?" + "&".join(pairs)
        fields = [*self.fixed, *_fields(self.fields, input_)]
        body = self.body(input_) if self.body is not None else b""
        if body:
            fields.append((b"content-type", b"application/json"))
        return target.encode("ascii"), fields, body


def prepare(config: HttpOperation, operation: Operation, types: Types) -> Request:
    """Compiles what `check` found nothing wrong with."""
    method, _, path = config.request.partition(" ")
    named = {name: _parts(value, operation, types) for name, value in config.headers.items()}
    fixed = [(name.encode(), _literal(parts).encode()) for name, parts in named.items() if not _parameters(parts)]
    if not any(name.lower() == "accept" for name in named):
        fixed.append((b"accept", b"application/json"))
    return Request(
        method.encode(),
        tuple(_parts(segment, operation, types) for segment in path.split("/")),
        tuple(_query(name, parameter, operation, types) for name, parameter in config.query.items()),
        tuple((name, parts) for name, parts in named.items() if _parameters(parts)),
        tuple(fixed),
        None if config.body is None else _body(config.body, operation, types),
    )


def _parts(text: str, operation: Operation, types: Types) -> Parts:
    pieces = _PARAMETER.split(text)
    return tuple(
        piece if at % 2 == 0 else (piece, text_writer(operation.input[piece].type, types))
        for at, piece in enumerate(pieces)
        if at % 2 or piece
    )


def _parameters(parts: Parts) -> list[str]:
    return [part[0] for part in parts if isinstance(part, tuple)]


def _literal(parts: Parts) -> str:
    return "".join(part for part in parts if isinstance(part, str))


def _segment(parts: Parts, input_: Input) -> str:
    """One path segment. Values are percent-encoded whole, and never make a segment that means another path."""
    if not any(isinstance(part, tuple) for part in parts):
        return _literal(parts)
    text = "".join(part if isinstance(part, str) else _encoded(part[1](input_[part[0]])) for part in parts)
    if text in _DOTS:
        name = _parameters(parts)[0]
        raise InvalidInput(f"{name} must not be empty, . or .. here: it is a part of a path.", target=name)
    return text


def _encoded(text: str) -> str:
    return quote(text, safe="", errors="replace")


def _query(name: str, parameter: str, operation: Operation, types: Types) -> Callable[[Input], list[str]]:
    """The pairs of one query name: none for an absent parameter or null, one per item of a list."""
    type_ = types.resolve(operation.input[parameter].type)
    prefix = _encoded(name) + "="
    if isinstance(type_, Array):
        item = text_writer(type_.item, types)
        return lambda input_: [prefix + _encoded(item(value)) for value in input_.get(parameter) or ()]
    write = text_writer(type_, types)

    def pairs(input_: Input) -> list[str]:
        value = input_.get(parameter)
        return [] if value is None else [prefix + _encoded(write(value))]

    return pairs


def _fields(named: Sequence[tuple[str, Parts]], input_: Input) -> Iterator[tuple[bytes, bytes]]:
    """Header fields with values in them. One whose parameter is absent or null is left out (CASES F22)."""
    for name, parts in named:
        if any(input_.get(parameter) is None for parameter in _parameters(parts)):
            continue
        value = "".join(part if isinstance(part, str) else part[1](input_[part[0]]) for part in parts)
        raw = value.encode("utf-8", "replace")
        try:
            headers.line(name.encode(), raw)
        except ValueError:
            parameter = _parameters(parts)[0]
            message = f"{parameter} must not hold control characters: it is sent as the header {name}."
            raise InvalidInput(message, target=parameter) from None
        yield name.encode(), raw


def _body(parameter: str, operation: Operation, types: Types) -> Callable[[Input], bytes]:
    field = operation.input[parameter]
    write = writer(field.type, field.nullable, types)
    return lambda input_: orjson.dumps(write(input_[parameter])) if parameter in input_ else b""


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


Texts = tuple[str, str]


def _path_of(config: HttpOperation) -> str:
    return config.request.partition(" ")[2]


def _used(config: HttpOperation) -> list[str]:
    found = _PARAMETER.findall(_path_of(config)) + list(config.query.values())
    for value in config.headers.values():
        found += _PARAMETER.findall(value)
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
    for literal in _PARAMETER.split(path)[::2]:
        if _LITERAL_PATH.fullmatch(literal) is None:
            yield (
                f"The path {path} holds what a path cannot hold.",
                "Percent-encode it; parameters of the query go under query.",
            )
            break
    if any(segment in (".", "..") for segment in path.split("/")):
        yield f"The path {path} has a dot segment.", "Write the path that is meant."
    for name in _PARAMETER.findall(path):
        if name in operation.input and not operation.input[name].required:
            yield f"{name} may be left out, and a path needs it.", "Make it required, or move it to the query."
        elif name in operation.input and operation.input[name].nullable:
            yield f"{name} may be null, which a path cannot say.", "Make it not nullable, or move it to the query."


def _unfit_headers(config: HttpOperation) -> Iterator[Texts]:
    for name, value in config.headers.items():
        if name.lower() in _OWNED_HEADERS:
            yield f"The header {name} is set by the gateway itself.", "Leave it out."
        try:
            headers.line(name.encode(), _PARAMETER.sub("", value).encode())
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
