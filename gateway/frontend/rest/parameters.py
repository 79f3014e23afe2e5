"""Parameters that travel as text: path segments, query parameters and header fields, read into canonical values.

Everything that is wrong is collected, each with its place: `path.id`, `query.limit`, `header.X-Trace`.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from gateway.core import headers
from gateway.core.errors import Detail
from gateway.core.exchange import Exchange
from gateway.frontend.rest.binding import Bound, Parameter
from gateway.schema.places import MAX_DETAILS
from gateway.schema.text import TextReader, text_reader
from gateway.schema.types import Array, Scalar, Type, Types

Input = dict[str, Any]
Errors = list[Detail]
Reading = Callable[[Exchange, Input, Errors], None]
Take = Callable[[list[str], Input, Errors], None]

_ESCAPED: Final = re.compile(rb"(?:[^%]|%[0-9A-Fa-f]{2})*+", re.DOTALL)
_ASCII: Final = re.compile(rb"[\t -~]*+")
_BOOLEANS: Final = {"true": True, "false": False}


def percent_decoded(raw: bytes) -> str:
    """Percent-encoded UTF-8 (RFC 3986 section 2.1) as text. ValueError on what is not."""
    if b"%" in raw:
        if _ESCAPED.fullmatch(raw) is None:
            raise ValueError("has a % that is not followed by two hexadecimal digits; write % itself as %25")
        raw = unquote_to_bytes(raw)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise ValueError("must be UTF-8, percent-encoded") from None


def readings(bound: Bound, path_parameters: tuple[str, ...], types: Types) -> tuple[Reading, ...]:
    """The compiled readers of one endpoint's parameters. The query has one even where nothing comes from it: what
    is not known is refused."""
    by_place: dict[str, list[Parameter]] = {"path": [], "query": [], "header": []}
    for parameter in bound.parameters:
        by_place[parameter.where].append(parameter)
    found = [_path(parameter, path_parameters.index(parameter.name), types) for parameter in by_place["path"]]
    found.append(_query(by_place["query"], bound.passed, types))
    found += [_header(parameter, types) for parameter in by_place["header"]]
    return tuple(found)


def _path(parameter: Parameter, index: int, types: Types) -> Reading:
    read, name, target = _text(parameter.field.type, types), parameter.field.name, f"path.{parameter.name}"

    def reading(exchange: Exchange, input_: Input, errors: Errors) -> None:
        try:
            input_[name] = read(_segment(exchange.params[index]))
        except ValueError as error:
            errors.append(Detail(target, str(error)))

    return reading


def _segment(raw: bytes) -> str:
    text = percent_decoded(raw)
    if "\0" in text:
        raise ValueError("must not hold a NUL character")
    return text


def _header(parameter: Parameter, types: Types) -> Reading:
    find = headers.finder(parameter.name.lower().encode())
    target = f"header.{parameter.name}"
    take = _one(parameter, types, target, "is a header field that stands {} times; send it once")

    def reading(exchange: Exchange, input_: Input, errors: Errors) -> None:
        values = find(exchange.head.block)
        if all(_ASCII.fullmatch(value) for value in values):
            take([value.decode("ascii") for value in values], input_, errors)
        else:
            errors.append(Detail(target, "must be ASCII text"))

    return reading


def _query(parameters: list[Parameter], passed: frozenset[str], types: Types) -> Reading:
    takes = {parameter.name: _taker(parameter, types) for parameter in parameters}
    all_takes = tuple(takes.items())
    absent: list[str] = []

    def reading(exchange: Exchange, input_: Input, errors: Errors) -> None:
        query = exchange.head.query if exchange.edits.query is None else exchange.edits.query
        given = parse_query(query, errors) if query else {}
        for name, take in all_takes:
            take(given.get(name, absent), input_, errors)
        for name in given:
            if name not in takes and name not in passed and len(errors) < MAX_DETAILS:
                errors.append(_unknown(name, takes))

    return reading


def parse_query(raw: bytes, errors: Errors) -> dict[str, list[str]]:
    """The values of each name, in order, of an application/x-www-form-urlencoded query (WHATWG URL section 5.1)."""
    values: dict[str, list[str]] = {}
    for piece in raw.split(b"&"):
        if not piece:
            continue
        name, _, value = piece.replace(b"+", b" ").partition(b"=")
        place = "query"
        try:
            key = percent_decoded(name)
            place = f"query.{key[:100]}"
            values.setdefault(key, []).append(percent_decoded(value))
        except ValueError as error:
            if len(errors) < MAX_DETAILS:
                errors.append(Detail(place, str(error)))
    return values


def _unknown(name: str, known: dict[str, Take]) -> Detail:
    near = get_close_matches(name[:100], known, 1)
    if near:
        hint = f"did you mean {near[0]}?"
    else:
        hint = f"known: {', '.join(sorted(known))}" if known else "there are none here"
    return Detail(f"query.{name[:100]}", f"is not a known query parameter ({hint})", "unknown")


def _taker(parameter: Parameter, types: Types) -> Take:
    target = f"query.{parameter.name}"
    type_ = types.resolve(parameter.field.type)
    if isinstance(type_, Array):
        return _many(parameter, type_, types, target)
    return _one(parameter, types, target, "is given {} times; give it once")


def _one(parameter: Parameter, types: Types, target: str, repeated: str) -> Take:
    read, name = _text(parameter.field.type, types), parameter.field.name
    absent = _absent(parameter, target)

    def take(texts: list[str], input_: Input, errors: Errors) -> None:
        if not texts:
            absent(input_, errors)
        elif len(texts) > 1:
            errors.append(Detail(target, repeated.format(len(texts)), "repeated"))
        else:
            try:
                input_[name] = read(texts[0])
            except ValueError as error:
                errors.append(Detail(target, str(error)))

    return take


def _many(parameter: Parameter, array: Array, types: Types, target: str) -> Take:
    read, name = _text(array.item, types), parameter.field.name
    low, high = array.min_items or 0, array.max_items
    absent = _absent(parameter, target)

    def take(texts: list[str], input_: Input, errors: Errors) -> None:
        if not texts:
            return absent(input_, errors)
        if len(texts) < low or (high is not None and len(texts) > high):
            limit = f"at least {low}" if len(texts) < low else f"at most {high}"
            return errors.append(Detail(target, f"must be given {limit} times"))
        values = input_[name] = []
        for at, text in enumerate(texts):
            try:
                values.append(read(text))
            except ValueError as error:
                errors.append(Detail(f"{target}[{at}]", str(error)))
                if len(errors) >= MAX_DETAILS:
                    break
        return None

    return take


def _absent(parameter: Parameter, target: str) -> Callable[[Input, Errors], None]:
    """What a parameter that was not sent means: an error, its default, null, no items, or nothing at all."""
    field = parameter.field
    name, default = field.name, field.default

    def refuse(_input: Input, errors: Errors) -> None:
        errors.append(Detail(target, "is required", "required"))

    def put(input_: Input, _errors: Errors) -> None:
        input_[name] = copy.deepcopy(default)

    if parameter.required:
        return refuse
    if field.required:
        empty: Any = None if field.nullable else ()
        return lambda input_, _errors: input_.__setitem__(name, None if empty is None else [])
    return put if default is not None else lambda _input, _errors: None


def _text(type_: Type, types: Types) -> TextReader:
    """JSON's spelling, which is what the OpenAPI document promises: booleans are words, numbers have no plus sign."""
    resolved = types.resolve(type_)
    read = text_reader(type_, types)
    if not isinstance(resolved, Scalar):
        return read
    if resolved.kind == "boolean":
        return _boolean
    if resolved.kind in ("int32", "int64", "float", "double", "decimal"):
        return lambda text: read(text if text[:1] != "+" else "")
    return read


def _boolean(text: str) -> bool:
    try:
        return _BOOLEANS[text]
    except KeyError:
        raise ValueError("must be true or false") from None
