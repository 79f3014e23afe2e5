"""The SQL evaluator: a query as SQLAlchemy Core statements. Values are bound, names come from the table, and nothing
that a client wrote becomes text of a statement.

A comparison at the top of a filter stays plain (`column = :value`), so that the database can use an index; below a
`not`, and where a value is wanted, it is made two-valued, as OData has it (see `typed`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from gateway.query import functions
from gateway.query.columns import Dialect, bound, kind_of
from gateway.query.functions import grouped
from gateway.query.plan import Query
from gateway.query.typed import Apply, Expression, Property, Value, check_filter, property_of
from gateway.schema.types import Record, Types

Sql = Any  # sqlalchemy's ColumnElement[Any]; its operators have no types that would help here


@dataclass(frozen=True, slots=True)
class Statements:
    """`rows` reads one row more than `limit`, so that the caller sees whether more remain."""

    rows: sa.Select[Any]
    count: sa.Select[Any] | None
    limit: int | None
    names: tuple[str, ...]


def select(
    query: Query, table: sa.Table, key: Sequence[str], record: Record, types: Types, dialect: Dialect
) -> Statements:
    """The statements of a query, with the key as the last order, so that pages neither overlap nor skip.
    BadRequest and NotImplementedHere as `typed.check_filter`."""
    names = query.select if query.select is not None else tuple(column.name for column in table.columns)
    for name in names:
        property_of(name, record, types, "$select")
    rows = sa.select(*(_column(table, name, record, types) for name in names or key))
    if query.key is not None:
        conditions = [
            _equal(_wrapped(_column(table, name, record, types), kind_of(record, name, types)[0], dialect),
                   bound(value, *kind_of(record, name, types), dialect))
            for name, value in query.key.items()
        ]  # fmt: skip
        return Statements(rows.where(*conditions).limit(1), None, None, tuple(names))
    condition = condition_of(query.filter, table, record, types, dialect)
    if condition is not None:
        rows = rows.where(condition)
    rows = rows.order_by(*_order(query, table, key, record, types))
    if query.skip:
        rows = rows.offset(query.skip)
    if query.top is not None:
        rows = rows.limit(query.top + 1)
    count: sa.Select[Any] | None = None
    if query.count:
        count = sa.select(sa.func.count()).select_from(table)
        count = count if condition is None else count.where(condition)
    return Statements(rows, count, query.top, tuple(names))


def _column(table: sa.Table, name: str, record: Record, types: Types) -> Sql:
    property_of(name, record, types, "the query")
    return table.columns[name]


def _order(query: Query, table: sa.Table, key: Sequence[str], record: Record, types: Types) -> list[Sql]:
    """Null comes before every value (OData URL conventions, section 5.1.6)."""
    made = []
    for order in query.order:
        column = _column(table, property_of(order.field, record, types, "$orderby").path[0], record, types)
        made.append(column.desc().nulls_last() if order.descending else column.asc().nulls_first())
    named = {order.field for order in query.order}
    return made + [table.columns[name].asc() for name in key if name not in named]


def condition_of(tree: Any, table: sa.Table, record: Record, types: Types, dialect: Dialect) -> Sql | None:
    """A filter's tree as a condition; None without a filter."""
    if tree is None:
        return None
    return _Compiler(table, dialect).condition(check_filter(tree, record, types))


def _equal(left: Sql, right: Sql) -> Sql:
    return left.op("=", is_comparison=True)(right)


def _same(left: Sql, right: Sql) -> Sql:
    """Equality that takes null for a value; with NULL itself in the form that an index serves."""
    if isinstance(left, sa.sql.elements.Null):
        left, right = right, left
    return left.is_(right) if isinstance(right, sa.sql.elements.Null) else left.is_not_distinct_from(right)


def _is_known(found: Expression) -> bool:
    """A literal that is not null."""
    return isinstance(found, Value) and found.kind != "null"


def _wrapped(column: Sql, kind: str, dialect: Dialect) -> Sql:
    """SQLite's texts in one spelling, whatever wrote them; PostgreSQL's own enumerations as text."""
    if dialect != "sqlite":
        return sa.cast(column, sa.String) if kind == "enum" and isinstance(column.type, sa.String) else column
    if kind == "datetime":
        return sa.func.strftime(sa.literal_column("'%Y-%m-%d %H:%M:%f'"), column)
    if kind == "time":
        return sa.func.strftime(sa.literal_column("'%H:%M:%f'"), column)
    return sa.func.lower(sa.func.replace(column, "-", "")) if kind == "uuid" else column


_OPERATORS = {"lt": "<", "le": "<=", "gt": ">", "ge": ">="}


class _Compiler:
    def __init__(self, table: sa.Table, dialect: Dialect) -> None:
        self._table = table
        self._dialect = dialect

    def condition(self, found: Expression) -> Sql:
        """A condition whose null counts as false: at the top, and below `and` and `or` there."""
        if not isinstance(found, Apply):
            return _equal(self.value(found), self._boolean(True))
        if found.function in ("and", "or"):
            join = sa.and_ if found.function == "and" else sa.or_
            return join(*(self.condition(argument) for argument in found.arguments))
        if found.function == "eq" and any(_is_known(argument) for argument in found.arguments):
            return _equal(*(self.value(argument) for argument in found.arguments))
        if found.function == "in" and all(_is_known(argument) for argument in found.arguments[1:]):
            left, *items = (self.value(argument) for argument in found.arguments)
            return sa.or_(*(_equal(left, item) for item in items))
        if found.function in _OPERATORS:
            left, right = (self.value(argument) for argument in found.arguments)
            return left.op(_OPERATORS[found.function], is_comparison=True)(right)
        return self.value(found)

    def value(self, found: Expression) -> Sql:
        """An expression whose null is kept, as `not` and `eq` need it."""
        if isinstance(found, Value):
            return sa.null() if found.kind == "null" else bound(found.value, found.kind, None, self._dialect)
        if isinstance(found, Property):
            return _wrapped(self._table.columns[found.path[0]], found.kind, self._dialect)
        arguments = [self.value(argument) for argument in found.arguments]
        return self._applied(found, arguments)

    def _applied(self, found: Apply, arguments: list[Sql]) -> Sql:
        function = found.function
        if function in ("and", "or"):
            return grouped((sa.and_ if function == "and" else sa.or_)(*arguments))
        if function == "not":
            return grouped(sa.not_(grouped(arguments[0])))
        if function in ("eq", "ne", "in"):
            return self._distinct(function, arguments)
        if function in _OPERATORS:
            compared = arguments[0].op(_OPERATORS[function], is_comparison=True)(arguments[1])
            return sa.func.coalesce(compared, self._boolean(False))
        return functions.apply(function, arguments, found, self._dialect)

    def _distinct(self, function: str, arguments: list[Sql]) -> Sql:
        left, *right = arguments
        if function == "ne":
            return grouped(sa.not_(_same(left, right[0])))
        return grouped(sa.or_(*(_same(left, item) for item in right)))

    def _boolean(self, value: bool) -> Sql:
        return bound(value, "boolean", None, self._dialect)
