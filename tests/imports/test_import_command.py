"""`penstock import` as a command: files, outputs, exits, secrets."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway.core.findings import DocumentsRefused
from gateway.manifest.imports.database import DatabaseImport
from tests.cli.cli_harness import penstock

GOLDEN = Path(__file__).parent.parent / "golden" / "imports"
PETS = GOLDEN / "pets.openapi.in.yaml"
SCHEMA = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, place BLOB);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER NOT NULL REFERENCES customers, total NUMERIC(12,2),
  "odd name" TEXT, placed DATETIME);
CREATE TABLE order_lines (order_id INTEGER REFERENCES orders, number INTEGER, sku TEXT, PRIMARY KEY (order_id, number));
CREATE TABLE notes (text TEXT);
CREATE VIEW totals AS SELECT customer, sum(total) AS total FROM orders GROUP BY customer;
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCHEMA)
    return path


def test_a_file_is_never_overwritten_without_force(tmp_path: Path) -> None:
    out = tmp_path / "pets.yaml"
    out.write_text("mine")
    refused = penstock("import", "openapi", PETS, "--out", out)
    assert (refused.code, out.read_text()) == (1, "mine")
    assert "--force" in refused.err
    assert penstock("import", "openapi", PETS, "--out", out, "--force").code == 0
    assert out.read_text().startswith("# Made by: penstock import openapi pets.openapi.in.yaml\n")
    assert [each.name for each in tmp_path.iterdir()] == ["pets.yaml"]


def test_json_tells_counts_notes_and_the_manifest() -> None:
    told = penstock("import", "openapi", PETS, "--name", "zoo", "--version", "v7", "--json").json
    assert (told["name"], told["typed"], told["relayed"]) == ("zoo@v7", 4, 2)
    assert "name: zoo\nversion: v7\n" in told["manifest"]
    assert {"place": "GET /search", "message": "relayed: the parameter filter is an object"} in told["notes"]


def test_relay_types_nothing() -> None:
    told = penstock("import", "openapi", PETS, "--relay", "--json").json
    assert (told["typed"], told["relayed"], told["types"]) == (0, 6, 0)


def test_typed_refuses_what_cannot_be_typed() -> None:
    ran = penstock("import", "openapi", PETS, "--typed")
    assert (ran.code, ran.out) == (1, "")
    assert "image/png" in ran.err


@pytest.mark.parametrize("arguments", [("--name", "No Name"), ("--version", "a b")])
def test_a_name_that_no_component_has_is_refused(arguments: tuple[str, str]) -> None:
    assert penstock("import", "openapi", PETS, *arguments).code == 1


def test_tables_become_entity_sets_with_navigation(database: Path, tmp_path: Path) -> None:
    out = tmp_path / "shop.yaml"
    ran = penstock("import", "database", f"sqlite:///{database}", "--out", out)
    assert ran.code == 0, ran.err
    assert out.read_text().partition("odata:\n")[2] == (
        "  entity_sets:\n"
        "    Customers: {table: database.customers, navigation: {Orders: {to: Orders, many: true}}}\n"
        "    OrderLines: {table: database.order_lines, navigation: {Order: {to: Orders, many: false}}}\n"
        "    Orders:\n"
        "      table: database.orders\n"
        "      columns: [id, customer, total, placed]\n"
        "      navigation: {Customer: {to: Customers, many: false}, OrderLines: {to: OrderLines, many: true}}\n"
    )
    assert "notes: left out: it has no primary key" in ran.err
    assert "totals: left out: it has no primary key" in ran.err
    assert "orders.odd name: left out" in ran.err
    assert penstock("check", out).code == 0


def test_only_the_tables_that_are_named(database: Path) -> None:
    told = penstock("import", "database", f"sqlite:///{database}", "--tables", "customers", "--json").json
    assert told["entity_sets"] == 1
    missing = penstock("import", "database", f"sqlite:///{database}", "--tables", "customer")
    assert missing.code == 1
    assert "customers" in missing.err


def test_a_database_that_is_not_there_is_refused_and_not_made(tmp_path: Path) -> None:
    assert penstock("import", "database", f"sqlite:///{tmp_path / 'no.db'}").code == 1
    assert not list(tmp_path.iterdir())


def test_a_password_is_never_written() -> None:
    made = DatabaseImport("postgresql://ann:PL4NTED@db.example/shop", "shop", "v1", [])
    assert made._written() == "postgresql+asyncpg://ann:secret:shop_password@db.example/shop"
    assert made.secrets == {"shop_password": "PL4NTED"}
    assert "PL4NTED" not in repr(made.draft)


def test_a_password_among_a_drivers_options_is_refused_without_telling_it() -> None:
    made = DatabaseImport("postgresql://db.example/shop?password=PL4NTED", "shop", "v1", [])
    with pytest.raises(DocumentsRefused) as refused:
        made._written()
    assert "PL4NTED" not in str(refused.value)


@pytest.mark.parametrize("url", ["postgresql://ann:PL4NTED@127.0.0.1:1/shop", "mysql://ann:PL4NTED@h/shop", "PL4NTED"])
def test_a_password_is_in_no_error(url: str) -> None:
    ran = penstock("import", "database", url)
    assert ran.code == 1
    assert "PL4NTED" not in ran.err + ran.out


def test_metadata_of_odata_2_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "old.xml").write_text(
        '<edmx:Edmx Version="1.0" xmlns:edmx="http://schemas.microsoft.com/ado/2007/06/edmx"><edmx:DataServices/></edmx:Edmx>'
    )
    ran = penstock("import", "csdl", tmp_path / "old.xml")
    assert ran.code == 1
    assert "V4" in ran.err
