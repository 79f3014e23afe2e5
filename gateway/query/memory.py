"""The in-memory evaluator: a query over rows of canonical values that a process or an HTTP backend answered.

A filter compiles to one function of a row. More rows than the cap are refused, never cut: a client that got a part
would take it for the whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from typing import Any, Final

from gateway.core.errors import BadGateway, BadRequest
from gateway.query.plan import Order, Page, Query
from gateway.query.typed import Apply, Expression, Property, Value, check_filter, property_of
from gateway.schema.types import Record, Types

Row = Mapping[str, Any]
Compute = Callable[[Row], Any]


def evaluate(query: Query, rows: Sequence[dict[str, Any]], record: Record, types: Types, max_rows: int) -> Page:
    """The page that `query` asks for; rows keep their order where `order` does not decide. BadGateway when there are
    more than `max_rows`."""
    if len(rows) > max_rows:
        raise BadGateway(
            f"The operation answered more than {max_rows} rows, and a part of them would be a wrong answer."
        )
    if query.key is not None:
        found = [row for row in rows if all(row.get(name) == value for name, value in query.key.items())]
        return Page([selected(row, query.select) for row in found[:1]])
    kept = list(rows) if query.filter is None else _filtered(query.filter, rows, record, types)
    for order in reversed(query.order):
        kept.sort(key=_sort_key(order, record, types), reverse=order.descending)
    end = len(kept) if query.top is None else query.skip + query.top
    page = [selected(row, query.select) for row in kept[query.skip : end]]
    return Page(page, len(kept) if query.count else None, len(kept) > end)


def selected(row: dict[str, Any], select: tuple[str, ...] | None) -> dict[str, Any]:
    return row if select is None else {name: row[name] for name in select if name in row}


def _filtered(tree: Any, rows: Sequence[dict[str, Any]], record: Record, types: Types) -> list[dict[str, Any]]:
    matches = compiled(check_filter(tree, record, types))
    try:
        return [row for row in rows if matches(row)]
    except (ArithmeticError, ValueError):
        raise BadRequest("$filter: a value is outside of the range that can be computed.", target="$filter") from None


def _sort_key(order: Order, record: Record, types: Types) -> Callable[[Row], tuple[bool, Any]]:
    """Null comes before every value (OData URL conventions, section 5.1.6)."""
    name = property_of(order.field, record, types, "$orderby").path[0]
    return lambda row: (False, 0) if (value := row.get(name)) is None else (True, value)


def compiled(expression: Expression) -> Compute:
    """A function of a row: the expression's value, None for null."""
    if isinstance(expression, Value):
        constant = expression.value
        return lambda _row: constant
    if isinstance(expression, Property):
        return _property(expression)
    arguments = tuple(compiled(argument) for argument in expression.arguments)
    return _applied(expression, arguments)


def _property(found: Property) -> Compute:
    *outer, last = found.path
    if not outer:
        return lambda row: row.get(last)

    def inner(row: Row) -> Any:
        value: Any = row
        for name in outer:
            value = value.get(name)
            if value is None:
                return None
        return value.get(last)

    return inner


def _applied(expression: Apply, arguments: tuple[Compute, ...]) -> Compute:
    function = expression.function
    if expression.domain == "double":
        arguments = tuple(_as_float(argument) for argument in arguments)
    if function in _LOGIC:
        return _LOGIC[function](*arguments)
    if function == "in":
        return _membership(arguments)
    if function in _COMPARISONS:
        return _comparison(_COMPARISONS[function], *arguments)
    return _strict(_FUNCTIONS[function], arguments)


def _as_float(argument: Compute) -> Compute:
    return lambda row: None if (value := argument(row)) is None else float(value)


def _strict(function: Callable[..., Any], arguments: tuple[Compute, ...]) -> Compute:
    """Null with any null."""

    def compute(row: Row) -> Any:
        values = [argument(row) for argument in arguments]
        return None if None in values else function(*values)

    return compute


def _comparison(compare: Callable[[Any, Any], bool], left: Compute, right: Compute) -> Compute:
    def holds(row: Row) -> bool:
        one, other = left(row), right(row)
        return one is not None and other is not None and compare(one, other)

    return holds


def _membership(arguments: tuple[Compute, ...]) -> Compute:
    left, *items = arguments
    return lambda row: (value := left(row), any(value == item(row) for item in items))[1]


def _and(left: Compute, right: Compute) -> Compute:
    def both(row: Row) -> bool | None:
        if (one := left(row)) is False:
            return False
        other = right(row)
        return False if other is False else None if one is None or other is None else True

    return both


def _or(left: Compute, right: Compute) -> Compute:
    def either(row: Row) -> bool | None:
        if (one := left(row)) is True:
            return True
        other = right(row)
        return True if other is True else None if one is None or other is None else False

    return either


_LOGIC: Final[Mapping[str, Callable[..., Compute]]] = {
    "and": _and,
    "or": _or,
    "not": lambda operand: lambda row: None if (value := operand(row)) is None else not value,
    "eq": lambda left, right: lambda row: left(row) == right(row),
    "ne": lambda left, right: lambda row: left(row) != right(row),
}
_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "lt": lambda one, other: bool(one < other),
    "le": lambda one, other: bool(one <= other),
    "gt": lambda one, other: bool(one > other),
    "ge": lambda one, other: bool(one >= other),
}


def _divide(one: Any, other: Any) -> Any:
    """Integers divide towards zero."""
    if isinstance(one, int) and isinstance(other, int):
        quotient = abs(one) // abs(other)
        return quotient if (one < 0) == (other < 0) else -quotient
    return one / other


def _remainder(one: int, other: int) -> int:
    return one - other * int(_divide(one, other))


def _rounded(mode: str, floats: Callable[[float], float]) -> Callable[[Any], Any]:
    def rounded(value: Any) -> Any:
        if isinstance(value, Decimal):
            return value.quantize(Decimal(1), mode)
        return floats(value) if isinstance(value, float) and math.isfinite(value) else value

    return rounded


def _half_away(value: float) -> float:
    return math.copysign(math.floor(abs(value) + 0.5), value)


_FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "neg": lambda value: -value,
    "add": lambda one, other: one + other,
    "sub": lambda one, other: one - other,
    "mul": lambda one, other: one * other,
    "div": _divide,
    "mod": _remainder,
    "contains": lambda text, part: part in text,
    "startswith": lambda text, part: text.startswith(part),
    "endswith": lambda text, part: text.endswith(part),
    "concat": lambda one, other: one + other,
    "indexof": lambda text, part: text.find(part),
    "length": len,
    "substring": lambda text, start, length=None: text[start : None if length is None else start + length],
    "tolower": str.lower,
    "toupper": str.upper,
    "trim": lambda text: text.strip(" "),
    "year": lambda moment: moment.year,
    "month": lambda moment: moment.month,
    "day": lambda moment: moment.day,
    "hour": lambda moment: moment.hour,
    "minute": lambda moment: moment.minute,
    "second": lambda moment: moment.second,
    "date": lambda moment: moment.date(),
    "round": _rounded(ROUND_HALF_UP, _half_away),
    "floor": _rounded(ROUND_FLOOR, lambda value: float(math.floor(value))),
    "ceiling": _rounded(ROUND_CEILING, lambda value: float(math.ceil(value))),
}
