"""Tables for queries, and values on their way into and out of a database, by kind and dialect.

SQLite has few types: values are bound and read raw here and converted by kind, so that a decimal never passes
through a float on our side (SQLite itself keeps a NUMERIC with a fraction as a 64-bit float: 15 digits are exact;
text columns are exact). Date-times without an offset are UTC, in SQLite compared to the millisecond. PostgreSQL's
connections run in UTC, so that its TIMESTAMP columns are UTC as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Literal
from uuid import UUID

import sqlalchemy as sa

from gateway.core.errors import BadGateway, NotImplementedHere
from gateway.query.typed import KINDS, Kind
from gateway.schema.types import Enumeration, Record, Scalar, Types

Dialect = Literal["sqlite", "postgresql"]

_SQLITE_BINDS: Final[Mapping[str, type[sa.types.TypeEngine[Any]]]] = {
    "int": sa.BigInteger,
    "boolean": sa.Integer,
    "double": sa.Float,
    "bytes": sa.LargeBinary,
}
_POSTGRES_TYPES: Final[Mapping[str, sa.types.TypeEngine[Any]]] = {
    "int": sa.BigInteger(),
    "decimal": sa.Numeric(asdecimal=True),
    "double": sa.Double(),
    "string": sa.String(),
    "boolean": sa.Boolean(),
    "datetime": sa.DateTime(timezone=True),
    "date": sa.Date(),
    "time": sa.Time(),
    "duration": sa.Interval(),
    "uuid": sa.Uuid(),
    "bytes": sa.LargeBinary(),
}


def kind_of(record: Record, name: str, types: Types) -> tuple[Kind, Scalar | Enumeration]:
    """The kind of a field that a column can hold. NotImplementedHere for one that none can."""
    type_ = types.resolve(record[name].type)
    if isinstance(type_, Scalar):
        return KINDS[type_.kind], type_
    if isinstance(type_, Enumeration):
        return "enum", type_
    raise NotImplementedHere(f"The property {name} of {record.name} is no single value, as a table's column is.")


def storage(kind: Kind, type_: Scalar | Enumeration | None, dialect: Dialect) -> sa.types.TypeEngine[Any]:
    """The SQLAlchemy type of a column or a bound value."""
    if kind == "enum":
        kind = "int" if isinstance(type_, Enumeration) and isinstance(type_.values[0], int) else "string"
    if dialect == "sqlite":
        return _SQLITE_BINDS.get(kind, sa.String)()
    return _POSTGRES_TYPES[kind]


def table(
    name: str, schema: str | None, columns: Sequence[str], record: Record, types: Types, dialect: Dialect
) -> sa.Table:
    """A table for `select`: in SQLite its columns are read raw."""

    def column(field: str) -> sa.Column[Any]:
        kind, type_ = kind_of(record, field, types)
        raw = dialect == "sqlite"
        return sa.Column(field, sa.types.NullType() if raw else storage(kind, type_, dialect), quote=True)

    made = [column(field) for field in columns]
    return sa.Table(sa.sql.quoted_name(name, True), sa.MetaData(), *made, schema=schema)


def bound(value: Any, kind: Kind, type_: Scalar | Enumeration | None, dialect: Dialect) -> Any:
    """A value as a bound parameter, never as text of the statement."""
    if dialect == "sqlite":
        value = encoded(value, kind)
    if kind == "enum" and type_ is None:
        type_ = Enumeration("", (value,) if isinstance(value, int) else (str(value),), ("",))
    parameter = sa.bindparam(None, value, type_=storage(kind, type_, dialect), unique=True)
    return sa.cast(parameter, sa.Numeric) if dialect == "sqlite" and kind == "decimal" else parameter


def encoded(value: Any, kind: Kind) -> Any:
    """As SQLite stores it."""
    if kind == "datetime":
        moment = value.astimezone(UTC)
        return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03}"
    if kind == "time":
        return f"{value:%H:%M:%S}.{value.microsecond // 1000:03}"
    if kind == "date":
        return value.isoformat()
    if kind == "uuid":
        return value.hex
    if kind == "decimal":
        return format(value, "f")
    return int(value) if kind == "boolean" else value


def decoded(value: Any, kind: Kind, type_: Scalar | Enumeration, column: str) -> Any:
    """A stored value as a canonical one. BadGateway names a column that holds something else."""
    if value is None:
        return None
    try:
        return _DECODERS[kind](value, type_) if kind in _DECODERS else value
    except (ValueError, TypeError, ArithmeticError):
        raise BadGateway(f"The column {column} holds a value that is not of its declared type.") from None


def _decimal(value: Any, type_: Any) -> Decimal:
    """SQLite answers a NUMERIC as an int or a float, whose shortest spelling is what was stored."""
    number = value if isinstance(value, Decimal) else Decimal(repr(value) if isinstance(value, float) else value)
    if not number.is_finite():
        raise ValueError("not a number")
    if type_.scale is None:
        return number
    try:
        return number.quantize(Decimal(1).scaleb(-type_.scale))
    except InvalidOperation:
        return number


def _datetime(value: Any, _type: Any) -> datetime:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _integer(value: Any, _type: Any) -> int:
    number = int(value)
    if number != value:
        raise ValueError("not an integer")
    return number


def _boolean(value: Any, _type: Any) -> bool:
    if value not in (0, 1):
        raise ValueError("neither true nor false")
    return bool(value)


def _string(value: Any, _type: Any) -> str:
    return value if isinstance(value, str) else str(value)


def _instance(kind: type) -> Any:
    """Checks what the driver has converted already."""

    def check(value: Any, _type: Any) -> Any:
        if not isinstance(value, kind):
            raise TypeError(kind.__name__)
        return value

    return check


def _member(value: Any, type_: Any) -> Any:
    if value not in type_.values:
        raise ValueError("not a member")
    return value


_DECODERS: Final[Mapping[str, Any]] = {
    "int": _integer,
    "decimal": _decimal,
    "double": lambda value, _type: float(value),
    "string": _string,
    "boolean": _boolean,
    "datetime": _datetime,
    "date": lambda value, _type: value if isinstance(value, date) else date.fromisoformat(value),
    "time": lambda value, _type: value if isinstance(value, time) else time.fromisoformat(value),
    "uuid": lambda value, _type: value if isinstance(value, UUID) else UUID(value),
    "duration": _instance(timedelta),
    "bytes": _instance(bytes),
    "enum": _member,
}
