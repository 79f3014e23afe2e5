"""SQL backends: entity sets over the tables of a database, read by SQLAlchemy Core on an asynchronous driver.

Errors of a driver reach a client without SQL, values or URLs.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.core.call import Backend, Call
from gateway.core.durations import seconds
from gateway.core.errors import BadGateway, BadRequest, GatewayTimeout, Problem, Unavailable
from gateway.manifest.documents import SqlBackend
from gateway.query import columns
from gateway.query.columns import Dialect
from gateway.query.database import connect
from gateway.query.plan import Page, Query
from gateway.query.sql import Statements, select
from gateway.query.typed import Kind
from gateway.schema.types import Enumeration, Record, Scalar, Types
from gateway.snapshot.spec import EntitySetSpec

log: Final = logging.getLogger("gateway.sql")


class Connection:
    """The pool of one `sql:` backend; shared by a version's entity sets."""

    def __init__(self, engine: AsyncEngine, dialect: Dialect, timeout: float) -> None:
        self.engine = engine
        self.dialect: Dialect = dialect
        self.timeout = timeout

    def __repr__(self) -> str:
        return f"<sql {self.dialect}>"

    def entity_set(self, spec: EntitySetSpec, record: Record, types: Types) -> Backend:
        """A backend whose `invoke` answers `call.query` with a `Page`. ValueError when the set has no table, or its
        type a property that is no column."""
        if spec.table is None:
            raise ValueError(f"the entity set {spec.name} has no table")
        shown = [column.name for column in spec.table.columns if column.name in record]
        if missing := [part.name for part in record.fields if part.name not in shown]:
            raise ValueError(f"{', '.join(missing)} of {record.name}: the table {spec.table.name} has no such column")
        table = columns.table(spec.table.name, spec.table.schema_name, shown, record, types, self.dialect)
        kinds = {name: columns.kind_of(record, name, types) for name in shown}
        return EntitySet(self, table, spec.key, record, types, kinds)

    async def read(self, statements: Statements) -> tuple[list[Any], int | None]:
        """The rows and the count of one moment. GatewayTimeout, Unavailable, BadGateway."""
        try:
            async with asyncio.timeout(self.timeout):
                async with self.engine.connect() as connection:
                    return await _run(connection, statements)
        except (TimeoutError, PoolTimeout):
            raise GatewayTimeout(f"The database did not answer within {self.timeout:g} seconds.") from None
        except SQLAlchemyError as error:
            raise _mapped(error) from None
        except OSError as error:
            log.error("the database cannot be reached: %s", type(error).__name__)
            raise Unavailable("The database cannot be reached.") from None

    async def close(self) -> None:
        await self.engine.dispose()


async def _run(connection: AsyncConnection, statements: Statements) -> tuple[list[Any], int | None]:
    count = None if statements.count is None else (await connection.execute(statements.count)).scalar_one()
    rows = (await connection.execute(statements.rows)).all()
    return list(rows), count


_SQLITE_UNAVAILABLE: Final = ("unable to open", "locked", "disk I/O")


def _mapped(error: SQLAlchemyError) -> Problem:
    """What a client may know of a driver's error. The log gets neither the statement nor its values."""
    origin = error.orig if isinstance(error, DBAPIError) else None
    state = str(getattr(origin, "sqlstate", None) or getattr(origin, "pgcode", None) or "")
    cause = getattr(origin, "__cause__", None)
    text = str(origin) if isinstance(origin, sqlite3.Error) else ""
    log.error("the database failed: %s %s%s", type(origin or error).__name__, state, text)
    if state.startswith("22") or isinstance(cause, ValueError) or isinstance(error, DataError):
        return BadRequest("A value of the query is outside of what the database can hold.")
    if state == "57014":
        return GatewayTimeout("The database gave the query up.")
    if state[:2] in ("08", "53", "57") or any(words in text for words in _SQLITE_UNAVAILABLE):
        return Unavailable("The database cannot be reached.")
    if isinstance(error, InterfaceError) or (isinstance(error, DBAPIError) and error.connection_invalidated):
        return Unavailable("The database cannot be reached.")
    return BadGateway("The database refused the query.")


@dataclass(frozen=True, slots=True)
class EntitySet:
    """One table, read by queries."""

    connection: Connection
    table: sa.Table
    key: tuple[str, ...]
    record: Record
    types: Types
    kinds: dict[str, tuple[Kind, Scalar | Enumeration]]

    async def invoke(self, call: Call) -> Page:
        query = call.query if isinstance(call.query, Query) else Query()
        statements = select(query, self.table, self.key, self.record, self.types, self.connection.dialect)
        rows, count = await self.connection.read(statements)
        more = statements.limit is not None and len(rows) > statements.limit
        if more:
            del rows[statements.limit :]
        return Page([self._row(statements.names, row) for row in rows], count, more)

    def _row(self, names: tuple[str, ...], row: Any) -> dict[str, Any]:
        return {
            name: columns.decoded(value, *self.kinds[name], name) for name, value in zip(names, row, strict=bool(names))
        }

    async def close(self) -> None:
        """The pool belongs to the connection."""


def open_connection(config: SqlBackend) -> Connection:
    engine, dialect = connect(config.url, config.pool_size)
    return Connection(engine, dialect, seconds(config.timeout))
