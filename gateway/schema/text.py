"""Values as text: path, query and header parameters, and the text of XML elements (XSD's lexical forms).

Booleans are true, false, 1 and 0; any JSON travels as its text; lists and records are no text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from gateway.core.errors import InternalError, InvalidInput
from gateway.schema import facets
from gateway.schema.json_codec import loads, reader
from gateway.schema.json_write import Unfit, checked, enumeration_writer, write_any
from gateway.schema.lexical import FORMATTERS, PARSERS, parse_special_float
from gateway.schema.places import ROOT
from gateway.schema.types import AnyType, Enumeration, Scalar, Type, Types

TextReader = Callable[[str], Any]
TextWriter = Callable[[Any], str]


def text_reader(type_: Type, types: Types, special_floats: bool = False, names: bool = False) -> TextReader:
    """A function from text to a canonical value; ValueError says what was expected ("must be …").

    `special_floats`: INF, -INF and NaN are numbers, as in XSD. `names`: an enumeration's members go by their names,
    as in XSD, not by their values. TypeError at once for lists and records.
    """
    resolved = types.resolve(type_)
    if isinstance(resolved, Scalar):
        return _scalar_reader(resolved, special_floats)
    if isinstance(resolved, Enumeration):
        return _enumeration_reader(resolved, names)
    if isinstance(resolved, AnyType):
        return _any_reader(types)
    raise TypeError(f"a {type(resolved).__name__.lower()} does not travel as text")


def _scalar_reader(scalar: Scalar, special_floats: bool) -> TextReader:
    parse, inspect = PARSERS[scalar.kind], facets.check(scalar)
    special = parse_special_float if special_floats and scalar.kind in ("float", "double") else None

    def read(text: str) -> Any:
        value = None if special is None else special(text)
        if value is None:
            value = parse(text)
        message = inspect(value) if inspect is not None else None
        if message is not None:
            raise ValueError(message)
        return value

    return read


def _enumeration_reader(enumeration: Enumeration, names: bool) -> TextReader:
    spelled = enumeration.names if names else tuple(map(str, enumeration.values))
    values: dict[str, Any] = dict(zip(spelled, enumeration.values, strict=True))
    expected = f"must be one of {', '.join(spelled)}"

    def read(text: str) -> Any:
        value = values.get(text)
        if value is None:
            raise ValueError(expected)
        return value

    return read


def _any_reader(types: Types) -> TextReader:
    read_value = reader(AnyType(), False, types)

    def read(text: str) -> Any:
        try:
            return read_value(loads(text.encode()))
        except (InvalidInput, UnicodeEncodeError):
            raise ValueError("must be a JSON text") from None

    return read


def text_writer(type_: Type, types: Types, names: bool = False) -> TextWriter:
    """A function from a canonical value to text. InternalError when the value does not fit its type."""
    resolved = types.resolve(type_)
    if isinstance(resolved, Scalar):
        write = checked(resolved, FORMATTERS[resolved.kind])
    elif isinstance(resolved, Enumeration):
        write = enumeration_writer(resolved)
    elif isinstance(resolved, AnyType):
        write = write_any
    else:
        raise TypeError(f"a {type(resolved).__name__.lower()} does not travel as text")
    spell = spelling(resolved, names)

    def write_text(value: Any) -> str:
        try:
            return spell(write(value, ROOT))
        except Unfit as unfit:
            raise InternalError(f"The answer does not fit the operation's contract: it {unfit}.") from unfit

    return write_text


def spelling(type_: Scalar | Enumeration | AnyType, names: bool) -> Callable[[Any], str]:
    """The last step of writing: from what JSON carries to text."""
    if isinstance(type_, Enumeration):
        spelled = type_.names if names else tuple(map(str, type_.values))
        return dict(zip(type_.values, spelled, strict=True)).__getitem__
    if isinstance(type_, AnyType):
        return lambda value: orjson.dumps(value).decode()
    return lambda value: value
