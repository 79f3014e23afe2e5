"""EDM and OData JSON: type names for CSDL, literals of URLs, values of payloads (OData 4.01, JSON Format 4.01)."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import orjson

from gateway.core.errors import Detail
from gateway.schema import facets, json_codec, json_write
from gateway.schema.json_codec import Read, refusal
from gateway.schema.json_write import Unfit, Write
from gateway.schema.lexical import EXPECTED, FORMATTERS, PARSERS, format_float, parse_special_float
from gateway.schema.places import ROOT, Path, wrong
from gateway.schema.types import AnyType, Array, Enumeration, Record, Scalar, ScalarKind, Type, Types


@dataclass(frozen=True, slots=True)
class EdmType:
    """`name` as CSDL writes it, `facets` as attributes (MaxLength, Precision, Scale)."""

    name: str
    facets: dict[str, str] = field(default_factory=dict)


NAMES: Final[Mapping[ScalarKind, str]] = {
    "int32": "Edm.Int32",
    "int64": "Edm.Int64",
    "float": "Edm.Single",
    "double": "Edm.Double",
    "decimal": "Edm.Decimal",
    "string": "Edm.String",
    "boolean": "Edm.Boolean",
    "datetime": "Edm.DateTimeOffset",
    "date": "Edm.Date",
    "time": "Edm.TimeOfDay",
    "duration": "Edm.Duration",
    "uuid": "Edm.Guid",
    "bytes": "Edm.Binary",
}
_FRACTIONS: Final = frozenset(("datetime", "time", "duration"))  # CSDL 7.2.3: without Precision, whole seconds


def edm_type(type_: Type, types: Types, namespace: str) -> EdmType:
    """The EDM type. ValueError for what EDM has not: any JSON, lists of lists."""
    if isinstance(type_, Scalar):
        return EdmType(NAMES[type_.kind], _facets(type_))
    if isinstance(type_, Array):
        if isinstance(type_.item, Array):
            raise ValueError("OData has no lists of lists; put the inner list into a record")
        item = edm_type(type_.item, types, namespace)
        return EdmType(f"Collection({item.name})", item.facets)
    if isinstance(type_, AnyType):
        raise ValueError("OData has no type for any JSON; name the type")
    resolved = types.resolve(type_)
    if isinstance(resolved, Record | Enumeration):
        return EdmType(f"{namespace}.{resolved.name}")
    return edm_type(resolved, types, namespace)


def _facets(scalar: Scalar) -> dict[str, str]:
    if scalar.kind in _FRACTIONS:
        return {"Precision": "6"}
    if scalar.kind in ("string", "bytes"):
        return {} if scalar.max_length is None else {"MaxLength": str(scalar.max_length)}
    if scalar.kind != "decimal":
        return {}
    precision = {} if scalar.precision is None else {"Precision": str(scalar.precision)}
    return precision | {"Scale": "variable" if scalar.scale is None else str(scalar.scale)}


# Literals in URLs (ABNF: primitiveLiteral)

_WRAPPED: Final = {"duration": re.compile(r"(?:duration)?'([^']*)'"), "bytes": re.compile(r"binary'([A-Za-z0-9_=-]*)'")}
_STRING: Final = re.compile(r"'((?:[^']|'')*)'")
_SHORT_TIME: Final = re.compile(r"([0-9]{2}:[0-9]{2})([Zz+-].*)?$")
_ENUM: Final = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_.]*)?'([^']*)'")


def literal_reader(scalar: Scalar | Enumeration) -> Callable[[str], Any]:
    """A function from a literal, percent-decoded, to the canonical value. ValueError says what was expected."""
    if isinstance(scalar, Enumeration):
        return _enumeration_literal(scalar)
    parse, inspect = _literal_parser(scalar.kind), facets.check(scalar)

    def read(text: str) -> Any:
        value = parse(text)
        message = inspect(value) if inspect is not None else None
        if message is not None:
            raise ValueError(message)
        return value

    return read


def _literal_parser(kind: ScalarKind) -> Callable[[str], Any]:
    if kind == "string":
        return _quoted
    if kind == "bytes":
        return lambda text: from_base64url(_unwrapped(kind, text))
    if kind == "duration":
        return lambda text: PARSERS["duration"](_unwrapped(kind, text))
    if kind in ("float", "double"):
        return lambda text: PARSERS[kind](text) if (value := parse_special_float(text)) is None else value
    if kind in ("time", "datetime"):
        return lambda text: PARSERS[kind](_with_seconds(text))
    return PARSERS[kind]


def _quoted(text: str) -> str:
    found = _STRING.fullmatch(text)
    if found is None:
        raise ValueError("must be a string in single quotes, a quote inside of it doubled")
    return found[1].replace("''", "'")


def _unwrapped(kind: ScalarKind, text: str) -> str:
    found = _WRAPPED[kind].fullmatch(text)
    if found is None:
        example = "duration'P1DT2H'" if kind == "duration" else "binary'T0RhdGE'"
        raise ValueError(f"must be a literal such as {example}")
    return found[1]


def _with_seconds(text: str) -> str:
    """The ABNF lets seconds out."""
    head, separator, tail = text.rpartition("T")
    found = _SHORT_TIME.match(tail)
    return text if found is None else f"{head}{separator}{found[1]}:00{found[2] or ''}"


def _enumeration_literal(enumeration: Enumeration) -> Callable[[str], Any]:
    members = dict(zip(enumeration.names, enumeration.values, strict=True))
    expected = f"must be a member in single quotes: {', '.join(enumeration.names)}"

    def read(text: str) -> Any:
        found = _ENUM.fullmatch(text)
        value = members.get(found[1]) if found is not None else None
        if value is None:
            raise ValueError(expected)
        return value

    return read


def to_base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode("ascii").rstrip("=")


def from_base64url(text: str) -> bytes:
    """Padding may be missing (JSON Format, section 7.1). ValueError."""
    try:
        plain = text.rstrip("=").translate(_URL_SAFE)
        return PARSERS["bytes"](plain + "=" * (-len(plain) % 4))  # type: ignore[no-any-return]
    except ValueError:
        raise ValueError("must be base64url (RFC 4648 section 5)") from None


_URL_SAFE: Final = str.maketrans("-_+/", "+/!!")  # the other alphabet is refused


# Payloads


def json_writer(type_: Type, nullable: bool, types: Types, ieee754: bool = False) -> Callable[[Any], Any]:
    """A function from a canonical value to what `orjson.dumps` takes. `ieee754`: decimals and 64-bit integers are
    strings, as `IEEE754Compatible=true` asks; otherwise a decimal is a number, exactly (an `orjson.Fragment`).
    InternalError when a value does not fit."""

    def leaf(scalar: Scalar) -> Write:
        return _leaf_writer(scalar, ieee754)

    write = json_write.compile_writer(type_, nullable, types, leaf, _member_writer)

    def write_value(value: Any) -> Any:
        try:
            return write(value, ROOT)
        except Unfit as unfit:
            raise unfit.problem() from unfit

    return write_value


def _leaf_writer(scalar: Scalar, ieee754: bool) -> Write:
    if scalar.kind == "decimal":
        return json_write.checked(scalar, FORMATTERS["decimal"] if ieee754 else _fragment)
    if scalar.kind == "int64" and ieee754:
        return json_write.checked(scalar, str)
    if scalar.kind in ("float", "double"):
        return json_write.checked(scalar, lambda value: value if math.isfinite(value) else format_float(value))
    if scalar.kind == "bytes":
        return json_write.checked(scalar, to_base64url)
    return json_write.scalar_writer(scalar)


def _fragment(value: Decimal) -> Any:
    return orjson.Fragment(FORMATTERS["decimal"](value))


def _member_writer(enumeration: Enumeration) -> Write:
    write = json_write.enumeration_writer(enumeration)
    names = dict(zip(enumeration.values, enumeration.names, strict=True))
    return lambda value, path: names[write(value, path)]


def json_reader(type_: Type, nullable: bool, types: Types, ieee754: bool = False) -> Callable[[Any], Any]:
    """A function from OData JSON (as `json_codec.loads` gives it, control information taken out) to the canonical
    value. InvalidInput lists everything that is wrong. `ieee754`: integers of 64 bits may be strings."""

    def leaf(scalar: Scalar) -> Read:
        return _leaf_reader(scalar, ieee754)

    read = json_codec.compile_reader(type_, nullable, types, leaf, _member_reader)

    def read_value(value: Any) -> Any:
        errors: list[Detail] = []
        result = read(value, ROOT, errors)
        if errors:
            raise refusal(errors)
        return result

    return read_value


def _leaf_reader(scalar: Scalar, ieee754: bool) -> Read:
    read = json_codec.scalar_reader(scalar)
    if scalar.kind in ("float", "double"):
        return _from_text(read, parse_special_float)
    if scalar.kind == "int64" and ieee754:
        return _from_text(read, PARSERS["int64"])
    if scalar.kind in ("time", "datetime"):
        return _from_text(read, _with_seconds)
    return _binary_reader(scalar) if scalar.kind == "bytes" else read


def _from_text(read: Read, parse: Callable[[str], Any]) -> Read:
    """A leaf that may come as a string: one that `parse` knows is read as what it gives."""

    def read_text(value: Any, path: Path, errors: list[Detail]) -> Any:
        if value.__class__ is str:
            try:
                parsed = parse(value)
            except ValueError:
                parsed = None
            value = value if parsed is None else parsed
        return read(value, path, errors)

    return read_text


def _binary_reader(scalar: Scalar) -> Read:
    inspect = facets.check(scalar)

    def read(value: Any, path: Path, errors: list[Detail]) -> Any:
        if value.__class__ is not str:
            return errors.append(wrong(path, EXPECTED["bytes"]))
        try:
            converted = from_base64url(value)
        except ValueError as error:
            return errors.append(wrong(path, str(error)))
        message = inspect(converted) if inspect is not None else None
        return converted if message is None else errors.append(wrong(path, message))

    return read


def _member_reader(enumeration: Enumeration) -> Read:
    members = dict(zip(enumeration.names, enumeration.values, strict=True))
    expected = f"must be one of {', '.join(enumeration.names)}"

    def read(value: Any, path: Path, errors: list[Detail]) -> Any:
        found = members.get(value) if value.__class__ is str else None
        return errors.append(wrong(path, expected)) if found is None else found

    return read
