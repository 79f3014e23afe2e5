"""The shop's database: five related tables in SQLite with thousands of rows, the same ones each time it is made."""

from __future__ import annotations

import random
import sqlite3
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

SEED = 20_260_101
CUSTOMERS, PRODUCTS, ORDERS = 500, 200, 4000

SCHEMA = """
CREATE TABLE customers (
  id INTEGER PRIMARY KEY, name VARCHAR(80) NOT NULL, email VARCHAR(120) NOT NULL, country VARCHAR(2) NOT NULL,
  since DATE NOT NULL
);
CREATE TABLE categories (id INTEGER PRIMARY KEY, name VARCHAR(40) NOT NULL);
CREATE TABLE products (
  id INTEGER PRIMARY KEY, category_id INTEGER NOT NULL REFERENCES categories (id), sku VARCHAR(20) NOT NULL,
  name VARCHAR(80) NOT NULL, price NUMERIC(12, 2) NOT NULL, in_stock BOOLEAN NOT NULL
);
CREATE TABLE orders (
  id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers (id), placed_at DATETIME NOT NULL,
  status VARCHAR(10) NOT NULL, total NUMERIC(12, 2) NOT NULL, note VARCHAR(200)
);
CREATE TABLE order_lines (
  id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL REFERENCES orders (id),
  product_id INTEGER NOT NULL REFERENCES products (id), quantity INTEGER NOT NULL, price NUMERIC(12, 2) NOT NULL
);
CREATE TABLE invoices (order_id INTEGER PRIMARY KEY REFERENCES orders (id), billed_at DATETIME NOT NULL);
CREATE INDEX orders_by_customer ON orders (customer_id);
CREATE INDEX lines_by_order ON order_lines (order_id);
"""

CATEGORIES = ("Books", "Tools", "Garden", "Kitchen", "Office", "Outdoor", "Toys", "Music")
COUNTRIES = ("AT", "CH", "DE", "DK", "FR", "GB", "IT", "NL", "PL", "SE")
NAMES = ("Ada", "Bela", "Clara", "Dario", "Edda", "Finn", "Greta", "Hugo", "Ines", "Jonas", "Kira", "Levi")
FAMILIES = ("Abel", "Berg", "Conti", "Dahl", "Egger", "Frank", "Graf", "Holm", "Iven", "Jung", "Keller", "Lund")
GOODS = ("Lamp", "Chair", "Notebook", "Kettle", "Hammer", "Tent", "Guitar", "Puzzle", "Spade", "Atlas")
STATUSES = ("open", "open", "paid", "paid", "paid", "shipped", "shipped", "cancelled")
EPOCH = datetime(2025, 1, 1, tzinfo=UTC)


def make(path: Path) -> None:
    """Makes the database when it is not there; one that is there stays as it is."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".making")
    beside.unlink(missing_ok=True)
    connection = sqlite3.connect(beside)
    try:
        with connection:
            connection.executescript(SCHEMA)
            _fill(connection, random.Random(SEED))  # noqa: S311 - sample rows, no secret
    finally:
        connection.close()
    beside.rename(path)


def _fill(connection: sqlite3.Connection, chance: random.Random) -> None:
    insert = connection.executemany
    insert("INSERT INTO categories VALUES (?, ?)", list(enumerate(CATEGORIES, 1)))
    insert("INSERT INTO customers VALUES (?, ?, ?, ?, ?)", [_customer(id, chance) for id in range(1, CUSTOMERS + 1)])
    products = [_product(id, chance) for id in range(1, PRODUCTS + 1)]
    insert("INSERT INTO products VALUES (?, ?, ?, ?, ?, ?)", products)
    prices = {product[0]: Decimal(product[4]) for product in products}
    orders: list[tuple[Any, ...]] = []
    lines: list[tuple[int, int, int, int, str]] = []
    for id in range(1, ORDERS + 1):
        own = _lines(id, len(lines), prices, chance)
        lines += own
        total = sum((line[3] * Decimal(line[4]) for line in own), Decimal(0))
        placed = EPOCH + timedelta(minutes=chance.randrange(60 * 24 * 700))
        note = chance.choice((None, None, None, "Leave it at the door", "A gift"))
        status = chance.choice(STATUSES)
        orders.append((id, chance.randint(1, CUSTOMERS), stamp(placed), status, str(total), note))
    insert("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)", orders)
    insert("INSERT INTO order_lines VALUES (?, ?, ?, ?, ?)", lines)


def _customer(id: int, chance: random.Random) -> tuple[int, str, str, str, str]:
    first, last = chance.choice(NAMES), chance.choice(FAMILIES)
    since = (EPOCH + timedelta(days=chance.randrange(600))).date().isoformat()
    return id, f"{first} {last}", f"{first}.{last}.{id}@example.org".lower(), chance.choice(COUNTRIES), since


def _product(id: int, chance: random.Random) -> tuple[int, int, str, str, str, bool]:
    price = Decimal(chance.randrange(199, 49_900)) / 100
    name = f"{chance.choice(GOODS)} {id}"
    return id, chance.randint(1, len(CATEGORIES)), f"SKU-{id:05d}", name, f"{price:.2f}", chance.random() < 0.9


def _lines(
    order: int, before: int, prices: dict[int, Decimal], chance: random.Random
) -> list[tuple[int, int, int, int, str]]:
    chosen = chance.sample(sorted(prices), chance.randint(1, 4))
    return [
        (before + number, order, product, chance.randint(1, 5), f"{prices[product]:.2f}")
        for number, product in enumerate(chosen, 1)
    ]


def stamp(moment: datetime) -> str:
    """As SQLAlchemy's DATETIME reads it: UTC without an offset."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
