"""Canonical values to what `orjson.dumps` takes, checked on the way: what leaves is what the contract says."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from gateway.core.errors import InternalError
from gateway.schema import facets
from gateway.schema.lexical import EXPECTED, FORMATTERS
from gateway.schema.places import ROOT, Path, render
from gateway.schema.types import AnyType, Array, Enumeration, Record, Ref, Scalar, Type, Types

Write = Callable[[Any, Path], Any]
_ABSENT: Final = object()


class Unfit(ValueError):
    """A value that its contract does not allow; `path` is its place, the message what was expected."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path = path

    def problem(self) -> InternalError:
        place = render(self.path)
        return InternalError(f"The answer does not fit the operation's contract: {place} {self}.", target=place)


def writer(type_: Type, nullable: bool, types: Types) -> Callable[[Any], Any]:
    """A function from a canonical value to JSON. InternalError names the place that does not fit, never the value."""
    write = compile_writer(type_, nullable, types)

    def write_value(value: Any) -> Any:
        try:
            return write(value, ROOT)
        except Unfit as unfit:
            raise unfit.problem() from unfit

    return write_value


def compile_writer(
    type_: Type,
    nullable: bool,
    types: Types,
    scalar: Callable[[Scalar], Write] | None = None,
    enumeration: Callable[[Enumeration], Write] | None = None,
) -> Write:
    """The function behind `writer`, which raises Unfit. `scalar` and `enumeration` make the leaves."""
    return _Compiler(types, scalar or scalar_writer, enumeration or enumeration_writer).compile(type_, nullable)


class _Compiler:
    """Compiles each named type once; a type that contains itself reaches its own writer through `writers`."""

    def __init__(
        self, types: Types, scalar: Callable[[Scalar], Write], enumeration: Callable[[Enumeration], Write]
    ) -> None:
        self.types = types
        self.scalar = scalar
        self.enumeration = enumeration
        self.writers: dict[str, Write | None] = {}

    def compile(self, type_: Type, nullable: bool) -> Write:
        write = self.plain(type_)
        if nullable and not isinstance(type_, AnyType):
            return lambda value, path: None if value is None else write(value, path)
        return write

    def plain(self, type_: Type) -> Write:
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
        return write_any

    def reference(self, name: str) -> Write:
        known = self.writers.get(name, _ABSENT)
        if known is None:
            return lambda value, path: self.writers[name](value, path)  # type: ignore[misc]  # noqa: PLW0108 - it is not there yet
        if known is _ABSENT:
            self.writers[name] = None
            self.writers[name] = known = self.plain(self.types[name])
        return known  # type: ignore[return-value]

    def array(self, array: Array) -> Write:
        item = self.compile(array.item, array.nullable_items)
        low, high = array.min_items or 0, math.inf if array.max_items is None else array.max_items

        def write(value: Any, path: Path) -> Any:
            if not isinstance(value, list | tuple):
                raise Unfit(path, "must be a list")
            if not low <= len(value) <= high:
                limit = f"at least {low}" if len(value) < low else f"at most {high}"
                raise Unfit(path, f"must have {limit} items")
            return [item(part, (path, at)) for at, part in enumerate(value)]

        return write

    def record(self, record: Record) -> Write:
        parts = tuple((part.name, self.compile(part.type, part.nullable), part.required) for part in record.fields)
        names = frozenset(part.name for part in record.fields)

        def write(value: Any, path: Path) -> Any:
            if not isinstance(value, dict):
                raise Unfit(path, "must be an object")
            result: dict[str, Any] = {}
            for name, write_part, required in parts:
                part = value.get(name, _ABSENT)
                if part is not _ABSENT:
                    result[name] = write_part(part, (path, name))
                elif required:
                    raise Unfit((path, name), "is required")
            if len(result) != len(value):
                extra = next(key for key in value if key not in names)
                raise Unfit((path, str(extra)), "is not a known field")
            return result

        return write


def write_any(value: Any, path: Path) -> Any:
    """Any JSON value, checked: keys are strings, numbers are finite and fit 64 bits."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**64:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, list | tuple):
        return [write_any(part, (path, at)) for at, part in enumerate(value)]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: write_any(part, (path, key)) for key, part in value.items()}
    raise Unfit(path, f"must be a JSON value, not {type(value).__name__}")


def enumeration_writer(enumeration: Enumeration) -> Write:
    plain = {value: value for value in enumeration.values}  # an enum's member finds the plain value that it equals
    expected = f"must be one of {', '.join(map(str, enumeration.values))}"

    def write(value: Any, path: Path) -> Any:
        if isinstance(value, str | int) and value.__class__ is not bool:
            found = plain.get(value)
            if found is not None:
                return found
        raise Unfit(path, expected)

    return write


def scalar_writer(scalar: Scalar) -> Write:
    """A leaf: what JSON has is left as it is, everything else is spelled."""
    if scalar.kind in ("float", "double"):
        return checked(scalar, _finite)
    if scalar.kind in ("int32", "int64", "string", "boolean"):
        return checked(scalar, None)
    return checked(scalar, FORMATTERS[scalar.kind])


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("must be finite: JSON has no NaN and no infinity")
    return value


def checked(scalar: Scalar, spell: Callable[[Any], Any] | None) -> Write:
    """The leaf that checks kind and facets, then spells. `spell` may raise ValueError with what was expected."""
    fits, inspect = facets.is_of_kind(scalar.kind), facets.check(scalar)
    expected = EXPECTED[scalar.kind]

    def write(value: Any, path: Path) -> Any:
        if not fits(value):
            raise Unfit(path, f"{expected}, not {type(value).__name__}")
        message = inspect(value) if inspect is not None else None
        if message is not None:
            raise Unfit(path, message)
        if spell is None:
            return value
        try:
            return spell(value)
        except ValueError as error:
            raise Unfit(path, str(error)) from None

    return write
