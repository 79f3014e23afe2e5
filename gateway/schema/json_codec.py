"""JSON values to canonical ones: closures compiled at publish time, which report everything that is wrong at once.

`loads` parses bytes, `reader` checks and converts what it gave, `writer` is the way back.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from gateway.core.errors import Detail, InvalidInput
from gateway.schema import facets
from gateway.schema.json_loads import loads
from gateway.schema.json_write import writer
from gateway.schema.lexical import EXPECTED, PARSERS
from gateway.schema.places import MAX_DETAILS, ROOT, Path, wrong
from gateway.schema.types import AnyType, Array, Enumeration, Record, Ref, Scalar, Type, Types

__all__ = ["compile_reader", "loads", "reader", "writer"]

Read = Callable[[Any, Path, list[Detail]], Any]
ScalarReader = Callable[[Scalar], Read]
_ABSENT: Final = object()
_INTEGER_BITS: Final = (-(2**63), 2**64 - 1)  # what the JSON encoder can write


def reader(type_: Type, nullable: bool, types: Types) -> Callable[[Any], Any]:
    """A function from a JSON value to the canonical one. InvalidInput lists what is wrong, up to 50 details, each with
    its place (`$.lines[2].sku`). KeyError at once when a type refers to a name that is not there."""
    read = compile_reader(type_, nullable, types)

    def read_value(value: Any) -> Any:
        errors: list[Detail] = []
        result = read(value, ROOT, errors)
        if errors:
            raise refusal(errors)
        return result

    return read_value


def refusal(errors: list[Detail]) -> InvalidInput:
    """The problem of one or more details."""
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return InvalidInput(f"{first.target} {first.message}{more}.", target=first.target, details=errors)


def compile_reader(
    type_: Type, nullable: bool, types: Types, scalar: ScalarReader | None = None, enumeration: Any = None
) -> Read:
    """The function behind `reader`. `scalar` and `enumeration` make the leaves; OData brings its own."""
    return _Compiler(types, scalar or scalar_reader, enumeration or enumeration_reader).compile(type_, nullable)


class _Compiler:
    """Compiles each named type once; a type that contains itself reaches its own reader through `readers`."""

    def __init__(self, types: Types, scalar: ScalarReader, enumeration: Callable[[Enumeration], Read]) -> None:
        self.types = types
        self.scalar = scalar
        self.enumeration = enumeration
        self.readers: dict[str, Read | None] = {}

    def compile(self, type_: Type, nullable: bool) -> Read:
        read = self.plain(type_)
        return read if not nullable or isinstance(type_, AnyType) else _or_null(read)

    def plain(self, type_: Type) -> Read:
        if isinstance(type_, Scalar):
            return self.scalar(type_)
        if isinstance(type_, Enumeration):
            return self.enumeration(type_)
        if isinstance(type_, Array):
            return self.array(type_)
        if isinstance(type_, Record):
            return self.record(type_)
        if isinstance(type_, Ref):
            return self.reference(type_.name)
        return read_any

    def reference(self, name: str) -> Read:
        known = self.readers.get(name, _ABSENT)
        if known is None:
            return lambda value, path, errors: self.readers[name](value, path, errors)  # type: ignore[misc]  # noqa: PLW0108 - it is not there yet
        if known is _ABSENT:
            self.readers[name] = None
            self.readers[name] = known = self.plain(self.types[name])
        return known  # type: ignore[return-value]

    def array(self, array: Array) -> Read:
        item = self.compile(array.item, array.nullable_items)
        low, high = array.min_items or 0, math.inf if array.max_items is None else array.max_items

        def read(value: Any, path: Path, errors: list[Detail]) -> Any:
            if value.__class__ is not list:
                return errors.append(wrong(path, "must be a list"))
            if not low <= len(value) <= high:
                limit = f"at least {low}" if len(value) < low else f"at most {high}"
                return errors.append(wrong(path, f"must have {limit} items"))
            result = []
            for at, part in enumerate(value):
                result.append(item(part, (path, at), errors))
                if len(errors) >= MAX_DETAILS:
                    break
            return result

        return read

    def record(self, record: Record) -> Read:
        parts = tuple(
            (part.name, self.compile(part.type, part.nullable), part.required, _default(part.default))
            for part in record.fields
        )
        names = frozenset(part.name for part in record.fields)

        def read(value: Any, path: Path, errors: list[Detail]) -> Any:
            if value.__class__ is not dict:
                return errors.append(wrong(path, "must be an object"))
            result: dict[str, Any] = {}
            seen = 0
            for name, read_part, required, default in parts:
                part = value.get(name, _ABSENT)
                if part is not _ABSENT:
                    seen += 1
                    result[name] = read_part(part, (path, name), errors)
                elif required:
                    errors.append(wrong((path, name), "is required", "required"))
                elif default is not None:
                    result[name] = default()
            if seen != len(value):
                _unknown(value, names, path, errors)
            return result

        return read


def _default(value: Any) -> Callable[[], Any] | None:
    if value is None:
        return None
    if isinstance(value, dict | list):
        return lambda: copy.deepcopy(value)
    return lambda: value


def _unknown(value: dict[str, Any], names: frozenset[str], path: Path, errors: list[Detail]) -> None:
    known = f"known: {', '.join(sorted(names))}" if names else "there are none here"
    for key in value:
        if len(errors) >= MAX_DETAILS:
            return
        if key not in names:
            errors.append(wrong((path, key), f"is not a known field ({known})", "unknown"))


def _or_null(read: Read) -> Read:
    return lambda value, path, errors: None if value is None else read(value, path, errors)


def read_any(value: Any, path: Path, errors: list[Detail]) -> Any:
    """Any JSON; a Decimal of `loads` becomes the float it is nearest to."""
    kind = value.__class__
    if kind is str or kind is bool or value is None:
        return value
    if kind is list:
        return [read_any(part, (path, at), errors) for at, part in enumerate(value)]
    if kind is dict:
        return {key: read_any(part, (path, key), errors) for key, part in value.items()}
    if kind is int and not _INTEGER_BITS[0] <= value <= _INTEGER_BITS[1]:
        return errors.append(wrong(path, "must be an integer of 64 bits"))
    return float(value) if kind is Decimal else value


def enumeration_reader(enumeration: Enumeration) -> Read:
    members = frozenset(enumeration.values)
    kind = type(enumeration.values[0])
    expected = f"must be one of {', '.join(map(str, enumeration.values))}"

    def read(value: Any, path: Path, errors: list[Detail]) -> Any:
        if value.__class__ is kind and value in members:
            return value
        if kind is int and value.__class__ is float and value in members:
            return int(value)
        return errors.append(wrong(path, expected))

    return read


def scalar_reader(scalar: Scalar) -> Read:
    """A leaf: numbers from JSON numbers, everything else from strings."""
    if scalar.kind in facets.RANGES:
        return _integer(scalar)
    if scalar.kind in ("float", "double"):
        return _number(scalar, _float)
    if scalar.kind == "decimal":
        return _number(scalar, _decimals(scalar.scale))
    if scalar.kind == "boolean":
        return _boolean
    return _text(scalar)


def _integer(scalar: Scalar) -> Read:
    low, high = facets.integer_range(scalar)
    inspect = facets.check(scalar)
    expected = EXPECTED[scalar.kind]

    def read(value: Any, path: Path, errors: list[Detail]) -> Any:
        if value.__class__ is int and low <= value <= high:
            return value
        if value.__class__ is float and value.is_integer():  # JSON Schema: 1.0 is an integer
            value = int(value)
        if value.__class__ is not int:
            return errors.append(wrong(path, expected))
        message = inspect(value) if inspect is not None else None
        return value if message is None else errors.append(wrong(path, message))

    return read


def _float(value: Any) -> float | None:
    if value.__class__ is float:
        return value
    if value.__class__ is int or value.__class__ is Decimal:
        try:
            return float(value)
        except OverflowError:
            return None
    return None


def _decimals(scale: int | None) -> Callable[[Any], Decimal | None]:
    """A decimal of a scale also takes the JSON number that double arithmetic made of it: 0.30000000000000004 for
    0.3. JSON Schema's `multipleOf` cannot tell the two apart, nor can most senders."""
    if scale is None:
        return _decimal

    def read(value: Any) -> Decimal | None:
        exact = _decimal(value)
        if value.__class__ is not float or exact is None:
            return exact
        rounded = Decimal(f"{value:.{scale}f}")
        return rounded if abs(float(rounded) - value) <= 2 * math.ulp(value) else exact

    return read


def _decimal(value: Any) -> Decimal | None:
    if value.__class__ is str:
        try:
            return PARSERS["decimal"](value) if value[:1] != "+" else None
        except ValueError:
            return None
    if value.__class__ is float:
        return Decimal(repr(value))  # `loads` keeps a double only where this is what was written
    return Decimal(value) if value.__class__ is int or value.__class__ is Decimal else None


def _number(scalar: Scalar, convert: Callable[[Any], Any]) -> Read:
    inspect = facets.check(scalar)
    expected = EXPECTED[scalar.kind]

    def read(value: Any, path: Path, errors: list[Detail]) -> Any:
        converted = convert(value)
        if converted is None:
            return errors.append(wrong(path, expected))
        message = inspect(converted) if inspect is not None else None
        return converted if message is None else errors.append(wrong(path, message))

    return read


def _boolean(value: Any, path: Path, errors: list[Detail]) -> Any:
    if value is True or value is False:
        return value
    return errors.append(wrong(path, EXPECTED["boolean"]))


def _text(scalar: Scalar) -> Read:
    inspect = facets.check(scalar)
    parse = None if scalar.kind == "string" else PARSERS[scalar.kind]
    expected = EXPECTED[scalar.kind]

    def read(value: Any, path: Path, errors: list[Detail]) -> Any:
        if value.__class__ is not str:
            return errors.append(wrong(path, expected))
        try:
            converted = value if parse is None else parse(value)
        except ValueError as error:
            return errors.append(wrong(path, str(error)))
        message = inspect(converted) if inspect is not None else None
        return converted if message is None else errors.append(wrong(path, message))

    return read
