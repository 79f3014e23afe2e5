from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from odata_service import ORDERS, TYPES, Operations, Service, mount, spec

from gateway.backend.sql import Connection
from gateway.core.call import Backend
from gateway.query.database import connect
from gateway.query.evaluated import Evaluated
from gateway.schema.types import Record


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    path = tmp_path / "shop.db"
    database = sqlite3.connect(path)
    database.execute(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer VARCHAR(40) NOT NULL, total NUMERIC(12,2) NOT NULL, "
        "placed DATETIME, state TEXT, paid BOOLEAN)"
    )
    database.executemany("INSERT INTO orders VALUES (?,?,?,?,?,?)", ORDERS)
    database.commit()
    database.close()
    odata = spec()
    connection = Connection(*connect(f"sqlite+aiosqlite:///{path}", 2), timeout=10)
    order, line = TYPES["Order"], TYPES["Line"]
    assert isinstance(order, Record)
    assert isinstance(line, Record)
    operations = Operations()
    backends: dict[str, Backend] = dict.fromkeys(odata.operations, operations)
    backends["Orders"] = connection.entity_set(odata.entity_sets["Orders"], order, TYPES)
    backends["Lines"] = Evaluated(operations, line, TYPES, 100)
    yield Service(mount(odata), backends)
    await connection.close()
