"""Engines of the databases that serve: SQLite by aiosqlite, PostgreSQL by asyncpg.

Connections of SQLite fold case as Unicode has it (`tolower`, `toupper`); those of PostgreSQL run in UTC, so that
date-times without an offset are UTC. Both are read only: nothing here writes, and nothing that slips through can.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from gateway.query.columns import Dialect

_DRIVERS: Final[dict[str, Dialect]] = {"sqlite+aiosqlite": "sqlite", "postgresql+asyncpg": "postgresql"}

_POSTGRES: Final = {"timezone": "UTC", "default_transaction_read_only": "on"}


def connect(url: str, pool_size: int) -> tuple[AsyncEngine, Dialect]:
    """An engine that connects when it is first used. ValueError without the URL, which may hold a password."""
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError("the url is not an SQLAlchemy URL, such as sqlite+aiosqlite:///shop.db") from None
    if parsed.drivername not in _DRIVERS:
        raise ValueError(f"the driver {parsed.drivername} does not serve; use one of {', '.join(_DRIVERS)}")
    dialect = _DRIVERS[parsed.drivername]
    arguments = {"server_settings": _POSTGRES} if dialect == "postgresql" else {}
    pool: dict[str, Any] = {} if _in_memory(parsed) else {"pool_size": pool_size, "max_overflow": 0}
    if dialect == "sqlite":  # a file does not go away as a server does, and each ping or rollback is a thread's turn
        pool |= {"isolation_level": "AUTOCOMMIT", "pool_reset_on_return": None}
    else:
        pool |= {"pool_pre_ping": True}
    engine = create_async_engine(parsed, connect_args=arguments, hide_parameters=True, **pool)
    if dialect == "sqlite":
        sa.event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    return engine, dialect


def _in_memory(url: sa.URL) -> bool:
    """Such a database lives in its one connection."""
    return url.database in (None, "", ":memory:") and url.drivername.startswith("sqlite")


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    """SQLite's own functions fold ASCII only."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA query_only = ON")
    cursor.close()
    connection.create_function("lower", 1, _folding(str.lower), deterministic=True)
    connection.create_function("upper", 1, _folding(str.upper), deterministic=True)


def _folding(fold: Callable[[str], str]) -> Callable[[Any], Any]:
    return lambda value: fold(value) if isinstance(value, str) else value
