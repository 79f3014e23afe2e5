"""The shop's processes: plain typed Python over its database, importable and testable without the gateway."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, Field

from gateway import Context, Problem, process
from gateway.demo.database import stamp

DATABASE = "SHOP_DATABASE"
"""The environment variable that says where the database is."""


class Status(StrEnum):
    OPEN = "open"
    PAID = "paid"
    SHIPPED = "shipped"
    CANCELLED = "cancelled"


class Line(BaseModel):
    """One product of an order."""

    product_id: int
    quantity: Annotated[int, Field(ge=1, le=1000)]
    price: Annotated[Decimal, Field(max_digits=12, decimal_places=2)]


class Order(BaseModel):
    """An order with its lines."""

    id: int
    customer_id: int
    placed_at: datetime
    status: Status
    total: Annotated[Decimal, Field(max_digits=12, decimal_places=2)]
    note: str | None = None
    lines: list[Line]


class NewLine(BaseModel):
    product_id: int
    quantity: Annotated[int, Field(ge=1, le=1000)]


class NewOrder(BaseModel):
    """What a customer wants."""

    customer_id: int
    lines: Annotated[list[NewLine], Field(min_length=1, max_length=50)]
    note: Annotated[str, Field(max_length=200)] | None = None


@dataclass
class Turnover:
    """How much a country bought."""

    country: str
    orders: int
    total: Decimal


class OrderNotFound(Problem):
    status, title = 404, "No such order"


class UnknownProduct(Problem):
    status, title = 422, "No such product"


class NotOpen(Problem):
    status, title = 409, "The order is no longer open"


@contextmanager
def _database() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(os.environ[DATABASE], timeout=10)
    connection.row_factory = sqlite3.Row
    try:
        with connection:
            yield connection
    finally:
        connection.close()


def _read(connection: sqlite3.Connection, id: int) -> Order:
    row = connection.execute("SELECT * FROM orders WHERE id = ?", (id,)).fetchone()
    if row is None:
        raise OrderNotFound(f"There is no order {id}.")
    found = connection.execute("SELECT * FROM order_lines WHERE order_id = ? ORDER BY id", (id,))
    lines = [
        Line(product_id=line["product_id"], quantity=line["quantity"], price=_money(line["price"])) for line in found
    ]
    placed = datetime.fromisoformat(row["placed_at"]).replace(tzinfo=UTC)
    return Order(
        id=row["id"],
        customer_id=row["customer_id"],
        placed_at=placed,
        status=Status(row["status"]),
        total=_money(row["total"]),
        note=row["note"],
        lines=lines,
    )


def _money(value: object) -> Decimal:
    """SQLite keeps NUMERIC as a number; two digits behind the point make it exact again."""
    return Decimal(str(value)).quantize(Decimal("0.01"))


@process(effect="safe", raises=[OrderNotFound])
def get_order(id: int) -> Order:
    """One order with its lines."""
    with _database() as connection:
        return _read(connection, id)


@process(effect="safe")
def find_orders(
    status: Status | None = None, customer_id: int | None = None, limit: Annotated[int, Field(ge=1, le=100)] = 20
) -> list[Order]:
    """Orders, newest first."""
    with _database() as connection:
        found = connection.execute(
            "SELECT id FROM orders WHERE (:status IS NULL OR status = :status) "
            "AND (:customer IS NULL OR customer_id = :customer) ORDER BY placed_at DESC, id LIMIT :limit",
            {"status": status, "customer": customer_id, "limit": limit},
        ).fetchall()
        return [_read(connection, row["id"]) for row in found]


@process(raises=[UnknownProduct])
def create_order(order: NewOrder, context: Context) -> Order:
    """Places an order at today's prices."""
    with _database() as connection:
        prices = {line.product_id: _price(connection, line.product_id) for line in order.lines}
        total = sum((prices[line.product_id] * line.quantity for line in order.lines), Decimal(0))
        placed = stamp(datetime.now(UTC))
        values = (order.customer_id, placed, Status.OPEN, str(total), order.note)
        made = connection.execute(
            "INSERT INTO orders (customer_id, placed_at, status, total, note) VALUES (?, ?, ?, ?, ?)", values
        )
        id = made.lastrowid
        assert id is not None
        connection.executemany(
            "INSERT INTO order_lines (order_id, product_id, quantity, price) VALUES (?, ?, ?, ?)",
            [(id, line.product_id, line.quantity, str(prices[line.product_id])) for line in order.lines],
        )
        return _read(connection, id)


def _price(connection: sqlite3.Connection, product: int) -> Decimal:
    row = connection.execute("SELECT price FROM products WHERE id = ?", (product,)).fetchone()
    if row is None:
        raise UnknownProduct(f"There is no product {product}.", target="order.lines")
    return _money(row["price"])


@process(effect="idempotent", raises=[OrderNotFound, NotOpen])
def cancel_order(id: int) -> Order:
    """Cancels an order that is still open; one that is cancelled stays so."""
    with _database() as connection:
        order = _read(connection, id)
        if order.status not in {Status.OPEN, Status.CANCELLED}:
            raise NotOpen(f"Order {id} is {order.status}.")
        connection.execute("UPDATE orders SET status = ? WHERE id = ?", (Status.CANCELLED, id))
        return _read(connection, id)


@process(effect="safe")
def turnover() -> list[Turnover]:
    """Orders and their worth by country."""
    with _database() as connection:
        found = connection.execute(
            "SELECT country, count(*) AS orders, sum(total) AS total FROM orders JOIN customers "
            "ON customers.id = orders.customer_id GROUP BY country ORDER BY country"
        )
        return [Turnover(row["country"], row["orders"], _money(round(row["total"], 2))) for row in found]


@process(effect="idempotent", raises=[OrderNotFound])
def bill_order(id: int, context: Context) -> None:
    """Bills an order; runs for each message of its topic. A second delivery changes nothing."""
    with _database() as connection:
        _read(connection, id)
        connection.execute("INSERT OR IGNORE INTO invoices VALUES (?, ?)", (id, stamp(datetime.now(UTC))))
