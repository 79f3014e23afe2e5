"""The OData service behind the live router, on a real socket over a real SQLite file."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from serving import Client, cell, served

from gateway.core.kinds import Services
from gateway.live.build import Settings
from gateway.live.slots import Builder
from gateway.live.swap import Swapper
from gateway.server.kinds import BACKEND_KINDS, POLICY_KINDS
from gateway.snapshot.spec import (
    BackendSpec,
    ColumnSpec,
    EndpointSpec,
    EntitySetSpec,
    ODataSpec,
    Snapshot,
    TableSpec,
    VersionSpec,
)

THING = {
    "type": "object",
    "properties": {"id": {"type": "integer", "format": "int64"}, "name": {"type": "string"}},
    "required": ["id", "name"],
}


def version(path: Path) -> VersionSpec:
    table = TableSpec(name="things", columns=tuple(ColumnSpec(name=name, schema_={}) for name in ("id", "name")))
    things = EntitySetSpec(name="Things", type="Thing", key=("id",), backend="db", table=table, page_size=2)
    documents = (("/odata", "odata"), ("/odata/$metadata", "metadata"))
    return VersionSpec(
        component="shop",
        version="v1",
        revision="r",
        base_path="/shop/{version}",
        types={"Thing": THING},
        backends={"db": BackendSpec(kind="sql", config={"url": f"sqlite+aiosqlite:///{path}"})},
        endpoints=(
            EndpointSpec(key="odata Things", protocol="odata", operation="odata:Things"),
            *(
                EndpointSpec(key=f"GET {url}", protocol="document", method="GET", path=url, document=name)
                for url, name in documents
            ),
        ),
        odata=ODataSpec(namespace="Shop", entity_sets={"Things": things}),
    )


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[tuple[str, int]]:
    path = tmp_path / "things.db"
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT)")
    database.executemany("INSERT INTO things VALUES (?,?)", [(1, "a/b"), (2, "Zoë"), (3, "c")])
    database.commit()
    database.close()
    live = cell()
    settings = Settings(Builder(POLICY_KINDS, Services(), {}), BACKEND_KINDS)
    swapper = Swapper(live, settings, lambda _prepared: None)
    swapper.swap(await swapper.prepare(Snapshot(versions=(version(path),))))
    async with served(live) as listening:
        yield listening
    await swapper.close()


async def get(address: tuple[str, int], target: str, method: str = "GET") -> tuple[int, dict[bytes, bytes], Any]:
    reader, writer = await asyncio.open_connection(*address)
    client = Client(reader, writer)
    client.send(f"{method} {target} HTTP/1.1\r\nHost: api.example\r\nConnection: close\r\n\r\n".encode())
    status, fields, body = await client.answer(method.encode())
    writer.close()
    await writer.wait_closed()
    assert fields[b"odata-version"] == b"4.0"
    return status, fields, orjson.loads(body) if body and b"json" in fields[b"content-type"] else body


async def test_a_client_reads_the_service_from_its_root(address: tuple[str, int]) -> None:
    status, _, body = await get(address, "/shop/v1/odata")
    assert status == 200
    assert body["@odata.context"] == "http://api.example/shop/v1/odata/$metadata"
    status, _, body = await get(address, "/shop/v1/odata/$metadata")
    assert status == 200
    assert b'Name="Thing"' in body


async def test_a_client_follows_the_pages(address: tuple[str, int]) -> None:
    _, _, first = await get(address, "/shop/v1/odata/Things?$filter=id%20gt%200&$count=true")
    assert (first["@odata.count"], len(first["value"])) == (3, 2)
    assert first["@odata.nextLink"].startswith("http://api.example/shop/v1/odata/Things?")
    _, _, second = await get(address, first["@odata.nextLink"].removeprefix("http://api.example"))
    assert second["value"] == [{"id": 3, "name": "c"}]


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("Things(2)", 200),
        ("Things(9)", 404),
        ("Things/$count", 200),
        ("Things?$filter=nam%20eq%201", 400),
        ("Things?$expand=x", 501),
        ("Nothing", 404),
    ],
)
async def test_statuses_reach_the_wire(address: tuple[str, int], target: str, status: int) -> None:
    assert (await get(address, f"/shop/v1/odata/{target}"))[0] == status


async def test_head_is_answered_like_get(address: tuple[str, int]) -> None:
    status, fields, body = await get(address, "/shop/v1/odata/Things(2)", "HEAD")
    assert (status, body, b"content-length" in fields) == (200, b"", True)


async def test_a_writing_method_is_405_in_odatas_form(address: tuple[str, int]) -> None:
    status, fields, body = await get(address, "/shop/v1/odata/Things", "DELETE")
    assert (status, fields[b"allow"], body["error"]["code"]) == (405, b"GET, HEAD", "method_not_allowed")
