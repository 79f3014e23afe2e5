"""A table's columns, keys and references, read from its database when a manifest is resolved.

SQLite has declared types only: they are taken by SQLite's own affinity rules, so that a type it does not know counts
as a number. Name what a column holds by a type that SQLite and SQL share (TEXT, DATETIME, NUMERIC(12,2)).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine.reflection import Inspector
from sqlalchemy.exc import NoSuchTableError, SQLAlchemyError

from gateway.core.findings import DocumentsRefused, Finding, Place
from gateway.manifest.bundle import Column, ForeignKey, Table
from gateway.query.columns import Dialect
from gateway.query.database import connect
from gateway.query.names import nearest
from gateway.schema.json_schema_write import write
from gateway.schema.types import Scalar, ScalarKind

TIMEOUT: Final = 30.0  # seconds for all of it


async def reflect(url: str, table: str, schema: str | None = None, columns: Collection[str] | None = None) -> Table:
    """The table or view, `name` or `schema.name`. `columns` limits it to those, in the table's order. A column whose
    type has no counterpart may hold anything (`{}`); in a key or among `columns` it is refused. DocumentsRefused for
    that, for a database that cannot be reached (without its URL), for a table or column that is not there."""
    if schema is None and "." in table:
        schema, _, table = table.rpartition(".")
    try:
        engine, dialect = connect(url, 1)
    except ValueError as error:
        raise _refused("database_url", f"{error}.") from None
    try:
        check_file(engine.url)
        async with asyncio.timeout(TIMEOUT):
            async with engine.connect() as connection:
                return await connection.run_sync(
                    lambda sync: read_table(sa.inspect(sync), table, schema, columns, dialect)
                )
    except TimeoutError:
        raise _refused("database_unreachable", f"The database did not answer within {TIMEOUT:g} seconds.") from None
    except (SQLAlchemyError, OSError) as error:
        raise _refused("database_unreachable", _reason(error), "Check its url, its user and that it runs.") from None
    finally:
        await engine.dispose()


def check_file(url: sa.URL) -> None:
    """SQLite would make an empty database of a path that is misspelled."""
    path = url.database or ""
    is_file = url.drivername.startswith("sqlite") and path not in ("", ":memory:") and not path.startswith("file:")
    if is_file and not Path(path).is_file():
        raise _refused("no_such_database", f"There is no database file {path}.", "Check the backend's url.")


def _refused(code: str, message: str, hint: str = "") -> DocumentsRefused:
    return DocumentsRefused([Finding(Place(), code, message, hint)])


def _reason(error: Exception) -> str:
    """What kind of failure it was; a driver's own text may hold the URL with its password."""
    origin = getattr(error, "orig", None) or error
    return f"The database cannot be read ({type(origin).__name__})."


def read_table(
    inspector: Inspector, table: str, schema: str | None, columns: Collection[str] | None, dialect: Dialect
) -> Table:
    try:
        found = inspector.get_columns(table, schema)
    except NoSuchTableError:
        found = []
    if not found:
        known = [*inspector.get_table_names(schema), *inspector.get_view_names(schema)]
        hint = nearest(table, known).strip() or f"There are: {', '.join(sorted(known)[:20]) or 'no tables'}."
        raise _refused("no_such_table", f"There is no table {table} in the database.", hint)
    keys = inspector.get_pk_constraint(table, schema)["constrained_columns"]
    return Table(
        name=table,
        schema_name=schema,
        columns=tuple(_columns(table, _chosen(table, found, columns), keys, columns or keys, dialect)),
        foreign_keys=tuple(_foreign_key(one) for one in inspector.get_foreign_keys(table, schema)),
    )


def _chosen(table: str, found: list[Any], columns: Collection[str] | None) -> list[Any]:
    if columns is None:
        return found
    names = [column["name"] for column in found]
    if missing := [name for name in columns if name not in names]:
        raise DocumentsRefused(
            Finding(Place(), "no_such_column", f"The table {table} has no column {name}.", nearest(name, names).strip())
            for name in missing
        )
    return [column for column in found if column["name"] in columns]


def _columns(table: str, found: list[Any], keys: list[str], needed: Collection[str], dialect: Dialect) -> list[Column]:
    made: list[Column] = []
    findings: list[Finding] = []
    for column in found:
        name, schema = column["name"], schema_of(column["type"], dialect)
        is_key = name in keys
        if schema is None and (is_key or name in needed):
            message = f"The column {name} of {table} has the type {column['type']!r}, which has no counterpart here."
            findings.append(Finding(Place(), "column_type", message, "Leave it out: list the others as `columns`."))
        nullable = column["nullable"] and not is_key
        made.append(Column(name=name, type=schema or {}, nullable=nullable, primary_key=is_key))
    if findings:
        raise DocumentsRefused(findings)
    return made


def _foreign_key(found: Any) -> ForeignKey:
    return ForeignKey(
        columns=tuple(found["constrained_columns"]),
        table=found["referred_table"],
        remote=tuple(found["referred_columns"]),
    )


_KINDS: Final[tuple[tuple[type[sa.types.TypeEngine[Any]], ScalarKind], ...]] = (
    (sa.SmallInteger, "int32"),
    (sa.BigInteger, "int64"),
    (sa.Boolean, "boolean"),
    (sa.DateTime, "datetime"),
    (sa.Date, "date"),
    (sa.Time, "time"),
    (sa.Interval, "duration"),
    (sa.Uuid, "uuid"),
)


def schema_of(type_: sa.types.TypeEngine[Any], dialect: Dialect) -> dict[str, Any] | None:
    """The JSON Schema of a column's type; None for one that the type table has not."""
    if isinstance(type_, sa.Enum):
        return {"type": "string", "enum": list(type_.enums)} if type_.enums else None
    scalar = _scalar(type_, dialect)
    return None if scalar is None else write(scalar)


def _scalar(type_: sa.types.TypeEngine[Any], dialect: Dialect) -> Scalar | None:
    for known, kind in _KINDS:
        if isinstance(type_, known):
            return Scalar(kind)
    if isinstance(type_, sa.Integer):
        return Scalar("int64" if dialect == "sqlite" else "int32")  # SQLite's integers have up to 64 bits
    if isinstance(type_, sa.Float):
        return Scalar("float" if isinstance(type_, sa.REAL) and dialect == "postgresql" else "double")
    if isinstance(type_, sa.Numeric):
        return _decimal(type_.precision, type_.scale)
    if isinstance(type_, sa.LargeBinary | sa.types._Binary):
        return Scalar("bytes", max_length=type_.length)
    return Scalar("string", max_length=type_.length) if isinstance(type_, sa.String) else None


def _decimal(precision: int | None, scale: int | None) -> Scalar:
    return Scalar("decimal") if precision is None else Scalar("decimal", precision=precision, scale=scale or 0)
