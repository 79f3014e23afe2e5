"""OData's functions and arithmetic in the SQL of each dialect. LIKE's wildcards in a client's text are escaped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import sqlalchemy as sa

from gateway.query.columns import Dialect
from gateway.query.typed import Apply, Value

Sql = Any


def apply(function: str, arguments: list[Sql], found: Apply, dialect: Dialect) -> Sql:
    """The SQL of one function; null with any null, as SQL's own functions are."""
    if function in _LIKE and dialect == "postgresql":
        return _like(function, arguments, found)
    if function in _PARTS:
        return _integer(_moment(function, arguments[0], dialect))
    dialects = _SQLITE if dialect == "sqlite" else _POSTGRES
    return dialects[function](*arguments) if function in dialects else _COMMON[function](*arguments)


def _integer(value: Sql) -> Sql:
    return sa.cast(value, sa.Integer)


_ESCAPE: Final = {"\\": "\\\\", "%": "\\%", "_": "\\_"}
_LIKE: Final = {"contains": ("%", "%"), "startswith": ("", "%"), "endswith": ("%", "")}


def _like(function: str, arguments: list[Sql], found: Apply) -> Sql:
    """LIKE is what an index can serve; a computed part is escaped by the database."""
    text, part = arguments
    before, behind = _LIKE[function]
    literal = found.arguments[1]
    if isinstance(literal, Value):
        escaped = "".join(_ESCAPE.get(character, character) for character in literal.value)
        return text.like(sa.bindparam(None, before + escaped + behind, type_=sa.String(), unique=True), escape="\\")
    for character, replacement in _ESCAPE.items():
        part = sa.func.replace(part, character, replacement)
    return text.like(sa.func.concat(before, part, behind), escape="\\")


_PARTS: Final = {"year": "%Y", "month": "%m", "day": "%d", "hour": "%H", "minute": "%M", "second": "%S"}


def _moment(part: str, value: Sql, dialect: Dialect) -> Sql:
    if dialect == "sqlite":
        return sa.func.strftime(sa.literal_column(f"'{_PARTS[part]}'"), value)
    return sa.func.floor(sa.extract(part, value))


def _operator(sign: str) -> Callable[[Sql, Sql], Sql]:
    """Written out, in parentheses: SQLAlchemy's own operators convert by type, which is decided already."""
    return lambda one, other: grouped(grouped(one).op(sign)(grouped(other)))


def grouped(value: Sql) -> Sql:
    """In parentheses, whatever SQLAlchemy thinks of the operators around it."""
    return sa.sql.elements.Grouping(value)


def _substring(text: Sql, start: Sql, length: Sql | None = None) -> Sql:
    """PostgreSQL's substr takes 32-bit integers."""
    first = sa.cast(_operator("+")(start, sa.literal(1, sa.Integer)), sa.Integer)
    return sa.func.substr(text, first) if length is None else sa.func.substr(text, first, sa.cast(length, sa.Integer))


def _whole(value: Sql) -> Sql:
    """SQLite may be built without floor and ceil."""
    return sa.cast(value, sa.Integer)


def _sqlite_endswith(text: Sql, part: Sql) -> Sql:
    start = sa.func.length(text) - sa.func.length(part) + 1
    return grouped(sa.func.substr(text, start).op("=", is_comparison=True)(part))


_COMMON: Final[Mapping[str, Callable[..., Sql]]] = {
    "neg": lambda value: _operator("-")(sa.literal(0, sa.Integer), value),
    "add": _operator("+"),
    "sub": _operator("-"),
    "mul": _operator("*"),
    "div": _operator("/"),
    "mod": _operator("%"),
    "concat": _operator("||"),
    "length": sa.func.length,
    "substring": _substring,
    "tolower": sa.func.lower,
    "toupper": sa.func.upper,
    "trim": lambda text: sa.func.trim(text, " "),
}
_SQLITE: Final[Mapping[str, Callable[..., Sql]]] = {
    "contains": lambda text, part: grouped(sa.func.instr(text, part) > 0),
    "startswith": lambda text, part: grouped(
        sa.func.substr(text, 1, sa.func.length(part)).op("=", is_comparison=True)(part)
    ),
    "endswith": _sqlite_endswith,
    "indexof": lambda text, part: sa.func.instr(text, part) - 1,
    "date": lambda moment: sa.func.strftime(sa.literal_column("'%Y-%m-%d'"), moment),
    "round": sa.func.round,
    "floor": lambda value: grouped(_whole(value) - _integer(grouped(value < _whole(value)))),
    "ceiling": lambda value: grouped(_whole(value) + _integer(grouped(value > _whole(value)))),
}
_POSTGRES: Final[Mapping[str, Callable[..., Sql]]] = {
    "indexof": lambda text, part: sa.func.strpos(text, part) - 1,
    "date": lambda moment: sa.cast(moment, sa.Date),
    "round": lambda value: sa.func.round(sa.cast(value, sa.Numeric)),
    "floor": sa.func.floor,
    "ceiling": sa.func.ceil,
}
