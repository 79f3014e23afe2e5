from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError

from gateway.backend import sql
from gateway.backend.sql import Connection
from gateway.backend.sql_kind import KIND
from gateway.core.call import Call, Context
from gateway.core.errors import BadGateway, NotImplementedHere, Problem, Unavailable
from gateway.core.kinds import Services
from gateway.manifest.documents import SqlBackend
from gateway.query.database import connect
from gateway.query.odata_filter import parse_filter
from gateway.query.plan import Query
from gateway.schema.types import Enumeration, Field, Operation, Record, Ref, Scalar, Types
from gateway.snapshot.spec import ColumnSpec, EntitySetSpec, TableSpec

TYPES = Types({"Level": Enumeration("Level", (1, 2), ("low", "high"))})
THING = Record(
    "Thing",
    (
        Field("id", Scalar("uuid")),
        Field("price", Scalar("decimal", precision=15, scale=4), nullable=True),
        Field("exact", Scalar("decimal"), nullable=True),
        Field("at", Scalar("time"), nullable=True),
        Field("level", Ref("Level"), nullable=True),
        Field("data", Scalar("bytes"), nullable=True),
        Field("day", Scalar("date"), nullable=True),
    ),
)
NAMES = tuple(field.name for field in THING.fields)
SPEC = EntitySetSpec(
    name="Things",
    type="Thing",
    key=("id",),
    backend="db",
    table=TableSpec(name="things", columns=tuple(ColumnSpec(name=name, schema_={}) for name in NAMES)),
)
ID = "6f1f5a0e-3c1b-4b8e-9d0a-2f6a1c0b7d55"


@pytest.fixture(autouse=True)
async def threads_end() -> AsyncIterator[None]:
    """A connection that could not be opened leaves its thread a last word for the loop: the loop waits for it."""
    yield
    for thread in threading.enumerate():
        if "_connection_worker_thread" in thread.name:
            await asyncio.to_thread(thread.join, 5)


def make(path: Path, *rows: tuple[Any, ...]) -> str:
    database = sqlite3.connect(path)
    database.execute(
        "CREATE TABLE things "
        "(id CHAR(36), price NUMERIC(15,4), exact TEXT, at TIME, level INTEGER, data BLOB, day DATE)"
    )
    database.executemany("INSERT INTO things VALUES (?,?,?,?,?,?,?)", rows)
    database.commit()
    database.close()
    return f"sqlite+aiosqlite:///{path}"


async def read(url: str, query: Query, patience: str = "10s") -> Any:
    assert KIND.open is not None
    connection: Connection = KIND.open(SqlBackend(url=url, timeout=patience), Services())
    try:
        backend = connection.entity_set(SPEC, THING, TYPES)
        return await backend.invoke(Call("Things", {}, Context("1"), query))
    finally:
        await connection.close()


# Each finds the one row that has ID, and what else these tests give it, in whatever database.
CONDITIONS = [
    f"id eq {ID}",
    "level eq 'high'",
    "price eq 0.1",
    "price in (0.1,7)",
    "at eq 12:30",
    "data eq binary'AP8'",
    "day eq 2024-05-01",
    "year(day) eq 2024 and hour(at) eq 12",
    "round(price mul 100) eq 10",
]


def where(condition: str) -> Query:
    return Query(filter=parse_filter(condition, THING, TYPES))


async def test_values_come_back_canonical(tmp_path: Path) -> None:
    exact = "12345678901234567890.123456789012345678"
    url = make(tmp_path / "a.db", (ID, "0.1", exact, "12:30:00.000000", 2, b"\x00\xff", "2024-05-01"))
    (row,) = (await read(url, Query())).rows
    assert str(row["id"]) == ID
    assert str(row["price"]) == "0.1000"
    assert row["exact"] == Decimal(exact)
    assert (row["at"].isoformat(), row["level"], row["data"]) == ("12:30:00", 2, b"\x00\xff")


@pytest.mark.parametrize("condition", CONDITIONS)
async def test_every_kind_is_compared(tmp_path: Path, condition: str) -> None:
    url = make(
        tmp_path / "a.db",
        (ID.replace("-", "").upper(), "0.1", "1", "12:30:00", 2, b"\x00\xff", "2024-05-01"),
        ("00000000000000000000000000000001", None, None, None, None, None, None),
    )
    assert len((await read(url, where(condition))).rows) == 1
    assert len((await read(url, where(f"not ({condition})"))).rows) in (0, 1)


async def test_a_row_is_found_by_its_key_however_it_is_spelled(tmp_path: Path) -> None:
    url = make(tmp_path / "a.db", (ID.upper(), None, None, None, None, None, None))
    assert len((await read(url, Query(key={"id": UUID(ID)}))).rows) == 1


async def test_a_value_of_another_type_is_a_bad_gateway(tmp_path: Path) -> None:
    url = make(tmp_path / "a.db", (ID, None, None, None, None, None, "tomorrow"))
    with pytest.raises(BadGateway, match="column day"):
        await read(url, Query())


async def test_a_missing_table_tells_no_sql(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    sqlite3.connect(path).close()
    with pytest.raises(BadGateway) as refusal:
        await read(f"sqlite+aiosqlite:///{path}", where("day eq 2024-05-01"))
    assert "SELECT" not in refusal.value.detail
    assert "things" not in refusal.value.detail


@pytest.mark.parametrize(
    "url", ["sqlite+aiosqlite:////nowhere/at/all.db", "postgresql+asyncpg://penny:hunter2@127.0.0.1:1/shop"]
)
async def test_an_unreachable_database_is_unavailable(url: str) -> None:
    with pytest.raises(Unavailable) as refusal:
        await read(url, Query())
    assert "hunter2" not in refusal.value.detail


async def test_a_slow_database_is_a_timeout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_arguments: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(sql, "_run", never)
    with pytest.raises(Problem) as refusal:
        await read(make(tmp_path / "a.db"), Query(), patience="300ms")
    assert refusal.value.status == 504


def test_a_driver_that_does_not_serve_is_refused_without_the_password() -> None:
    assert KIND.open is not None
    with pytest.raises(ValueError, match=r"mysql\+aiomysql") as refusal:
        KIND.open(SqlBackend(url="mysql+aiomysql://penny:hunter2@db/shop"), Services())
    assert "hunter2" not in str(refusal.value)


def test_operations_are_not_offered() -> None:
    with pytest.raises(NotImplementedHere, match="entity sets"):
        KIND.bind(None, None, Operation("f", "safe", Record("f", ())), TYPES, Services())


class DriverError(Exception):
    def __init__(self, sqlstate: str) -> None:
        super().__init__("password hunter2")
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("state", "status"),
    [("22003", 400), ("08006", 503), ("53300", 503), ("57014", 504), ("42P01", 502), ("28P01", 502)],
)
def test_states_of_postgresql_become_statuses(state: str, status: int, caplog: pytest.LogCaptureFixture) -> None:
    problem = sql._mapped(DBAPIError("SELECT secret", {}, DriverError(state)))
    assert problem.status == status
    assert "hunter2" not in caplog.text + problem.detail
    assert "SELECT" not in caplog.text + problem.detail


async def test_nothing_can_be_written(tmp_path: Path) -> None:
    engine, _ = connect(make(tmp_path / "a.db"), 1)
    async with engine.connect() as connection:
        with pytest.raises(OperationalError, match="readonly"):
            await connection.execute(text("DELETE FROM things"))
    await engine.dispose()


def test_a_property_that_is_no_column_is_refused() -> None:
    assert KIND.open is not None
    connection: Connection = KIND.open(SqlBackend(url="sqlite+aiosqlite://"), Services())
    table = TableSpec(name="things", columns=(ColumnSpec(name="id", schema_={}),))
    with pytest.raises(ValueError, match="price"):
        connection.entity_set(SPEC.model_copy(update={"table": table}), THING, TYPES)
