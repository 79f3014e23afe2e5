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
from gateway.core.headers import Fields
from gateway.manifest.documents import HttpOperation
from gateway.schema.json_codec import writer
from gateway.schema.text import TextWriter, text_writer
from gateway.schema.types import Array, Operation, Types

Input = dict[str, Any]
Parts = tuple[str | tuple[str, TextWriter], ...]  # literal text, or a parameter with its writer

PARAMETER: Final = re.compile(r"\{([^{}]*)\}")
_DOTS: Final = frozenset(("", ".", ".."))


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
    pieces = PARAMETER.split(text)
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
