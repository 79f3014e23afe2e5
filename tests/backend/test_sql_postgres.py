"""Entity sets over a real PostgreSQL, and what is imported from it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from gateway.core.errors import BadGateway, BadRequest, Problem
from gateway.query.plan import Order, Query
from tests import postgres as servers
from tests.backend.test_sql_backend import CONDITIONS, ID, read, where
from tests.imports.test_import_command import penstock
from tests.postgres import Postgres, postgres

__all__ = ["postgres"]
pytestmark = servers.needed

EXACT = "12345678901234567890.123456789012345678"
OTHER = "00000000-0000-0000-0000-000000000001"
TABLES = (
    "CREATE TABLE things (id uuid PRIMARY KEY, price numeric(15,4), exact numeric, at time, level integer, data bytea, "
    "day date)",
    f"INSERT INTO things VALUES ('{ID}', 0.1, {EXACT}, '12:30', 2, '\\x00ff', '2024-05-01')",
    f"INSERT INTO things (id) VALUES ('{OTHER}')",
    "CREATE SCHEMA sales",
    "CREATE TABLE sales.customers (id integer PRIMARY KEY, name varchar(80) NOT NULL, since timestamptz)",
    "CREATE TABLE sales.orders (id bigint PRIMARY KEY, customer_id integer NOT NULL REFERENCES sales.customers (id), "
    "total numeric(12,2) NOT NULL, open boolean NOT NULL, note text)",
    "CREATE TABLE sales.notes (note text)",
    "CREATE VIEW sales.totals AS SELECT customer_id, sum(total) AS total FROM sales.orders GROUP BY customer_id",
)


@pytest.fixture(scope="module")
def url(postgres: Postgres) -> str:
    postgres.run(*TABLES)
    return postgres.url("postgresql+asyncpg")


async def test_values_come_back_canonical(url: str) -> None:
    (row,) = (await read(url, Query(key={"id": UUID(ID)}))).rows
    assert (str(row["id"]), str(row["price"]), row["exact"]) == (ID, "0.1000", Decimal(EXACT))
    assert (row["at"].isoformat(), row["level"], row["data"]) == ("12:30:00", 2, b"\x00\xff")
    assert row["day"].isoformat() == "2024-05-01"


@pytest.mark.parametrize("condition", CONDITIONS)
async def test_every_kind_is_compared(url: str, condition: str) -> None:
    (row,) = (await read(url, where(condition))).rows
    assert str(row["id"]) == ID


async def test_rows_are_ordered_counted_and_cut(url: str) -> None:
    page = await read(url, Query(order=(Order("id", True),), top=1, count=True))
    assert ([str(row["id"]) for row in page.rows], page.count) == ([ID], 2)


async def test_a_value_outside_of_what_a_column_holds_is_a_400(url: str) -> None:
    with pytest.raises(BadRequest):
        await read(url, where(f"price eq 1{'0' * 140_000}"))


async def test_a_wrong_password_tells_nothing(postgres: Postgres, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Problem) as refused:
        await read(postgres.url("postgresql+asyncpg", "hunter2"), Query())
    assert isinstance(refused.value, BadGateway)
    assert "hunter2" not in caplog.text + refused.value.detail


def test_tables_are_imported_with_their_navigation_and_the_password_is_a_secret(
    url: str, postgres: Postgres, tmp_path: Path
) -> None:
    out = tmp_path / "ledger.yaml"
    ran: Any = penstock("import", "database", postgres.url(), "--schema", "sales", "--name", "ledger", "--out", out)
    assert ran.code == 0, ran.err
    text = out.read_text()
    assert servers.PASSWORD not in text
    assert "planted%3Apass" not in text
    assert "secret:ledger_password" in text
    assert (
        "navigation: {Customers: {to: Customers, many: false}}" in text
        or "Customer: {to: Customers, many: false}" in text
    )
    assert "Orders: {to: Orders, many: true}" in text
    for name in ("notes", "totals"):
        assert f"{name}: left out: it has no primary key" in ran.err
