from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from gateway.core.findings import DocumentsRefused
from gateway.manifest.bundle import ForeignKey
from gateway.manifest.reflect import reflect
from gateway.schema.json_schema import read
from gateway.schema.types import Scalar, Types


@pytest.fixture
def url(tmp_path: Path) -> str:
    path = tmp_path / "shop.db"
    database = sqlite3.connect(path)
    database.executescript(
        """
        CREATE TABLE customers (id INTEGER PRIMARY KEY, name VARCHAR(40) NOT NULL);
        CREATE TABLE orders (
            id INTEGER PRIMARY KEY, customer INTEGER NOT NULL REFERENCES customers (id), total NUMERIC(12,2) NOT NULL,
            rate DECIMAL(5), placed DATETIME NOT NULL, due DATE, at TIME, paid BOOLEAN, weight REAL,
            note TEXT, photo BLOB
        );
        CREATE TABLE lines ("order" INTEGER, line INTEGER, sku CHAR(8), PRIMARY KEY ("order", line));
        CREATE TABLE odd (id INTEGER PRIMARY KEY, anything);
        CREATE VIEW open_orders AS SELECT id, total FROM orders;
        """
    )
    database.close()
    return f"sqlite+aiosqlite:///{path}"


async def test_declared_types_become_schemas(url: str) -> None:
    table = await reflect(url, "orders")
    scalars = {column.name: read(column.type, Types(), column.name)[0] for column in table.columns}
    assert scalars == {
        "id": Scalar("int64"),
        "customer": Scalar("int64"),
        "total": Scalar("decimal", precision=12, scale=2),
        "rate": Scalar("decimal", precision=5, scale=0),
        "placed": Scalar("datetime"),
        "due": Scalar("date"),
        "at": Scalar("time"),
        "paid": Scalar("boolean"),
        "weight": Scalar("double"),
        "note": Scalar("string"),
        "photo": Scalar("bytes"),
    }
    assert [column.name for column in table.columns if not column.nullable] == ["id", "customer", "total", "placed"]
    assert [column.name for column in table.columns if column.primary_key] == ["id"]


async def test_references_are_read(url: str) -> None:
    assert (await reflect(url, "orders")).foreign_keys == (
        ForeignKey(columns=("customer",), table="customers", remote=("id",)),
    )


async def test_a_compound_key_is_never_null(url: str) -> None:
    columns = (await reflect(url, "lines")).columns
    assert [(column.name, column.nullable) for column in columns if column.primary_key] == [
        ("order", False),
        ("line", False),
    ]


async def test_a_length_is_kept(url: str) -> None:
    (name,) = (await reflect(url, "customers", columns=["name"])).columns
    assert name.type["maxLength"] == 40


async def test_a_view_is_read_as_a_table(url: str) -> None:
    assert [column.name for column in (await reflect(url, "open_orders")).columns] == ["id", "total"]


async def test_a_missing_table_names_near_misses(url: str) -> None:
    with pytest.raises(DocumentsRefused, match=r"no table order .*Did you mean orders"):
        await reflect(url, "order")
    with pytest.raises(DocumentsRefused, match=r"There are: customers, lines, odd"):
        await reflect(url, "zzz")


async def test_a_missing_column_is_named(url: str) -> None:
    with pytest.raises(DocumentsRefused, match=r"orders has no column totl\. Did you mean total"):
        await reflect(url, "orders", columns=["id", "totl"])


async def test_a_column_without_a_counterpart_may_hold_anything_unless_it_is_asked_for(url: str) -> None:
    columns = {column.name: column.type for column in (await reflect(url, "odd")).columns}
    assert columns["anything"] == {}
    with pytest.raises(DocumentsRefused, match=r"anything of odd .*Leave it out"):
        await reflect(url, "odd", columns=["id", "anything"])


async def test_a_schema_may_stand_before_the_name(url: str) -> None:
    table = await reflect(url, "main.customers")
    assert (table.schema_name, table.name) == ("main", "customers")


@pytest.mark.parametrize(
    "unreachable",
    [
        "postgresql+asyncpg://penny:hunter2@127.0.0.1:1/shop",
        "mysql+aiomysql://penny:hunter2@localhost/shop",
        "penny:hunter2",
    ],
)
async def test_a_database_that_cannot_be_reached_keeps_its_password(unreachable: str) -> None:
    with pytest.raises(DocumentsRefused) as refusal:
        await reflect(unreachable, "orders")
    assert "hunter2" not in str(refusal.value)
    assert "hunter2" not in repr(refusal.value.__cause__)


def test_a_missing_file_is_refused_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(DocumentsRefused, match=r"no database file .*shpo\.db"):
        asyncio.run(reflect(f"sqlite+aiosqlite:///{tmp_path}/shpo.db", "orders"))
    assert not list(tmp_path.iterdir())
