"""Random type tables and values that match them, for round trips through every codec."""

from __future__ import annotations

import datetime
import decimal
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from gateway.schema.enumerations import member_names
from gateway.schema.facets import MAX_FLOAT
from gateway.schema.types import AnyType, Array, Enumeration, Field, Record, Ref, Scalar, Type, Types

NAMES = st.from_regex(r"[a-z][a-zA-Z0-9_]{0,6}", fullmatch=True)
XML_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"]), max_size=12)
FREE = (
    "int32",
    "int64",
    "float",
    "double",
    "string",
    "boolean",
    "datetime",
    "date",
    "time",
    "duration",
    "uuid",
    "bytes",
)


@st.composite
def scalars(draw: st.DrawFn) -> Scalar:
    kind = draw(st.sampled_from((*FREE, "decimal")))
    if kind == "decimal":
        precision = draw(st.none() | st.integers(1, 20))
        return Scalar(
            "decimal", precision=precision, scale=None if precision is None else draw(st.integers(0, precision))
        )
    if kind == "string" and draw(st.booleans()):
        low = draw(st.integers(0, 3))
        return Scalar("string", min_length=low, max_length=low + draw(st.integers(1, 8)))
    if kind in ("int32", "int64") and draw(st.booleans()):
        low = draw(st.integers(-100, 100))
        return Scalar(kind, minimum=Decimal(low), maximum=Decimal(low + draw(st.integers(1, 50))))
    return Scalar(kind)


@st.composite
def enumerations(draw: st.DrawFn, name: str) -> Enumeration:
    texts = st.lists(XML_TEXT, min_size=1, max_size=4, unique=True)
    numbers = st.lists(st.integers(-1000, 1000), min_size=1, max_size=4, unique=True)
    values = tuple(draw(texts | numbers))
    return Enumeration(name, values, member_names(values))


def _types(names: tuple[str, ...], depth: int, anything: bool) -> st.SearchStrategy[Type]:
    leaves: st.SearchStrategy[Type] = scalars()
    if names:
        leaves |= st.sampled_from(names).map(Ref)
    if anything:
        leaves |= st.just(AnyType())
    if depth == 0:
        return leaves
    inner = _types(names, depth - 1, anything)
    return leaves | st.builds(Array, inner, st.just(False)) | _records("Inner", names, depth - 1, anything)


@st.composite
def _records(draw: st.DrawFn, name: str, names: tuple[str, ...], depth: int, anything: bool) -> Record:
    fields = draw(st.lists(NAMES, max_size=4, unique_by=str.lower))
    parts = []
    for field in fields:
        type_ = draw(_types(names, depth, anything))
        nullable = not isinstance(type_, AnyType) and draw(st.booleans())
        parts.append(Field(field, type_, draw(st.booleans()), nullable))
    return Record(name, tuple(parts))


@st.composite
def tables(draw: st.DrawFn, anything: bool = True) -> Types:
    """Two records, of which the second refers to the first and, where it may end, to itself; and an enumeration."""
    first = draw(_records("First", ("Colour",), 1, anything))
    second = draw(_records("Second", ("Colour", "First"), 1, anything))
    again = Field("again", Ref("Second"), False, True)
    return Types(
        {
            "Colour": draw(enumerations("Colour")),
            "First": first,
            "Second": Record("Second", (*(part for part in second.fields if part.name != "again"), again)),
        }
    )


@st.composite
def cases(draw: st.DrawFn, anything: bool = True) -> tuple[Types, Type, bool, Any]:
    """(types, type, nullable, a canonical value of it)."""
    types = draw(tables(anything))
    type_ = draw(_types(("Colour", "First", "Second"), 2, anything))
    nullable = not isinstance(type_, AnyType) and draw(st.booleans())
    return types, type_, nullable, draw(values(type_, nullable, types))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | XML_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(XML_TEXT, inner, max_size=3),
    max_leaves=6,
)


def values(type_: Type, nullable: bool, types: Types, depth: int = 3) -> st.SearchStrategy[Any]:
    """Canonical values of a type."""
    plain = _values(type_, types, depth)
    return st.none() | plain if nullable else plain


def _values(type_: Type, types: Types, depth: int) -> st.SearchStrategy[Any]:
    if isinstance(type_, Scalar):
        return scalar_values(type_)
    if isinstance(type_, AnyType):
        return JSON
    if isinstance(type_, Array):
        return st.lists(values(type_.item, type_.nullable_items, types, depth), max_size=3)
    resolved = types.resolve(type_)
    if isinstance(resolved, Enumeration):
        return st.sampled_from(resolved.values)
    assert isinstance(resolved, Record)
    return _record_values(resolved, types, depth - 1)


@st.composite
def _record_values(draw: st.DrawFn, record: Record, types: Types, depth: int) -> dict[str, Any]:
    result = {}
    for part in record.fields:
        if part.required or (depth > 0 and draw(st.booleans())):
            result[part.name] = draw(values(part.type, part.nullable, types, depth))
    return result


def scalar_values(scalar: Scalar) -> st.SearchStrategy[Any]:
    made = _SCALARS.get(scalar.kind)
    if made is not None:
        return made
    if scalar.kind in ("int32", "int64"):
        low, high = (-(2**31), 2**31 - 1) if scalar.kind == "int32" else (-(2**63), 2**63 - 1)
        return st.integers(int(scalar.minimum or low), int(scalar.maximum or high)).filter(
            lambda value: (
                (scalar.minimum is None or value >= scalar.minimum)
                and (scalar.maximum is None or value <= scalar.maximum)
            )
        )
    if scalar.kind == "decimal":
        return _decimals(scalar)
    return st.text(
        st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"]),
        min_size=scalar.min_length or 0,
        max_size=12 if scalar.max_length is None else scalar.max_length,
    )


def _decimals(scalar: Scalar) -> st.SearchStrategy[Decimal]:
    precision = scalar.precision or 30
    scale = 10 if scalar.scale is None else scalar.scale
    return st.integers(-(10**precision) + 1, 10**precision - 1).map(
        lambda number: Decimal(number).scaleb(-scale, _WIDE)
    )


_WIDE = decimal.Context(prec=60)
_OFFSETS = st.integers(-23 * 60, 23 * 60).map(lambda minutes: datetime.timezone(datetime.timedelta(minutes=minutes)))
_SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "float": st.floats(-MAX_FLOAT, MAX_FLOAT, width=32),
    "double": st.floats(allow_nan=False, allow_infinity=False),
    "boolean": st.booleans(),
    "datetime": st.datetimes(timezones=_OFFSETS),
    "date": st.dates(),
    "time": st.times(),
    "duration": st.timedeltas(),
    "uuid": st.uuids(),
    "bytes": st.binary(max_size=12),
}


def without_empty_lists(value: Any, type_: Type, types: Types) -> Any:
    """What XML keeps of a value: an optional list without items is absent."""
    if isinstance(type_, Array) and value is not None:
        return [without_empty_lists(item, type_.item, types) for item in value]
    resolved = types.resolve(type_)
    if not isinstance(resolved, Record) or value is None:
        return value
    return {
        part.name: without_empty_lists(value[part.name], part.type, types)
        for part in resolved.fields
        if part.name in value and (part.required or not isinstance(part.type, Array) or value[part.name] != [])
    }
