"""One OData service over a SQLite file and two operations, driven as a chain would drive it."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson

from gateway.core.call import Backend, Call
from gateway.core.errors import Problem
from gateway.core.exchange import Exchange, Head, Reply
from gateway.frontend.odata.mount import ODataMount
from gateway.query.evaluated import Evaluated
from gateway.schema.contract import read_operation
from gateway.schema.json_schema import read_types
from gateway.schema.types import Record
from gateway.snapshot.spec import ColumnSpec, EntitySetSpec, ODataSpec, TableSpec

ROOT = "https://api.example/shop/v2/odata"
DECIMAL = {"type": "string", "format": "decimal", "x-precision": 12, "x-scale": 2}
INT64 = {"type": "integer", "format": "int64"}
TYPES = read_types(
    {
        "Order": {
            "type": "object",
            "properties": {
                "id": INT64,
                "customer": {"type": "string", "maxLength": 40},
                "total": DECIMAL,
                "placed": {"type": ["string", "null"], "format": "date-time"},
                "state": {"$ref": "#/types/State"},
                "paid": {"type": "boolean"},
            },
            "required": ["id", "customer", "total", "placed", "state", "paid"],
        },
        "State": {"type": "string", "enum": ["open", "shipped"]},
        "Line": {
            "type": "object",
            "properties": {"order": INT64, "line": {"type": "integer", "format": "int32"}, "sku": {"type": "string"}},
            "required": ["order", "line", "sku"],
        },
        "Tax": {
            "type": "object",
            "properties": {"country": {"type": "string"}, "amount": DECIMAL},
            "required": ["country", "amount"],
        },
    }
)
CONTRACTS: dict[str, dict[str, Any]] = {
    "find_tax": {
        "effect": "safe",
        "input": {
            "type": "object",
            "properties": {"country": {"type": "string"}, "amount": DECIMAL},
            "required": ["country"],
        },
        "output": {"$ref": "#/types/Tax"},
    },
    "rate": {"effect": "safe", "input": {"type": "object", "properties": {}}, "output": DECIMAL},
    "find_nothing": {
        "effect": "safe",
        "input": {"type": "object", "properties": {}},
        "output": {"type": ["string", "null"]},
    },
    "create_order": {
        "effect": "writing",
        "input": {
            "type": "object",
            "properties": {"order": {"$ref": "#/types/Line"}, "note": {"type": "string"}},
            "required": ["order"],
        },
        "output": INT64,
    },
    "list_lines": {
        "effect": "safe",
        "input": {"type": "object", "properties": {}},
        "output": {"type": "array", "items": {"$ref": "#/types/Line"}},
    },
}
OPERATIONS = {name: read_operation(name, contract, TYPES) for name, contract in CONTRACTS.items()}
COLUMNS = ("id", "customer", "total", "placed", "state", "paid")
ORDERS = [
    (1, "Ada", "19.90", "2024-05-01 12:30:00.000000", "open", 1),
    (2, "O'Neil", "0.10", None, "shipped", 0),
    (3, "100%_\\", "-5", "2024-05-02 00:00:00", "open", 1),
    (4, "Zoë", "9999999999.99", "2024-05-03T10:00:00+02:00", "open", 0),
    (5, "’ OR 1=1 --", "7.25", None, "open", 1),
]


def spec(page_size: int = 3) -> ODataSpec:
    table = TableSpec(name="orders", columns=tuple(ColumnSpec(name=name, schema_={}) for name in COLUMNS))
    orders = EntitySetSpec(name="Orders", type="Order", key=("id",), backend="ledger", table=table, page_size=page_size)
    lines = EntitySetSpec(name="Lines", type="Line", key=("order", "line"), operation="list_lines")
    operations = ("find_tax", "rate", "find_nothing", "create_order")
    return ODataSpec(namespace="Example.Shop", entity_sets={"Orders": orders, "Lines": lines}, operations=operations)


class Operations:
    """The operations' own behaviour."""

    async def invoke(self, call: Call) -> Any:
        if call.operation == "list_lines":
            return [{"order": 1, "line": 1, "sku": "a"}, {"order": 1, "line": 2, "sku": "b"}]
        if call.operation == "find_tax":
            return {"country": call.input["country"], "amount": call.input.get("amount", Decimal("1.00"))}
        return {"rate": Decimal("0.19"), "find_nothing": None, "create_order": 9_007_199_254_740_993}[call.operation]

    async def close(self) -> None: ...


class Service:
    """`get` runs dispatch, decode, the backend and encode, and renders what they refuse."""

    def __init__(self, mount: ODataMount, backends: dict[str, Backend]) -> None:
        self.mount = mount
        self.backends = backends
        self.call: Call | None = None

    async def request(
        self, method: bytes, path: str, query: str = "", body: bytes = b"", **headers: str
    ) -> tuple[int, Any, Reply]:
        block = "".join(f"\r\n{name.replace('_', '-')}: {value}" for name, value in headers.items())
        head = Head(method, b"/odata/" + path.encode(), query.encode(), block.encode("latin-1"))
        exchange = Exchange("r-1", head, None, None)  # type: ignore[arg-type]
        exchange.params = (path.encode(),)
        try:
            reply = await self._answer(exchange, path, body)
        except Problem as problem:
            reply = self.mount.render(exchange, problem)
        assert [value for name, value in reply.headers if name == b"odata-version"] in ([b"4.0"], [b"4.01"])
        kind = reply.get(b"content-type") or b""
        return reply.status, orjson.loads(reply.body or b"null") if b"json" in kind else reply.body, reply

    async def _answer(self, exchange: Exchange, path: str, body: bytes) -> Reply:
        document = self.mount.documents.get(path and "/" + path.lstrip("/"))
        if document is not None:
            return document(exchange)
        name = self.mount.dispatch(exchange)
        endpoint = self.mount.endpoints[name]
        exchange.body = body if endpoint.needs_body else None
        endpoint.decode(exchange)
        assert exchange.call is not None
        self.call = exchange.call
        return endpoint.encode(exchange, await self.backends[name].invoke(exchange.call))

    async def get(self, path: str, query: str = "", **headers: str) -> tuple[int, Any, Reply]:
        return await self.request(b"GET", path, query, **headers)


def mount(odata: ODataSpec) -> ODataMount:
    return ODataMount("shop", "v2", odata, OPERATIONS, TYPES, lambda _exchange: ROOT + "/")


class Fixed:
    """Rows of both sets without a database."""

    async def invoke(self, call: Call) -> Any:
        if call.operation == "list_lines":
            return [{"order": 1, "line": 1, "sku": "a"}, {"order": 1, "line": 2, "sku": "b"}]
        when = datetime(2024, 5, 1, tzinfo=UTC)
        row = {"customer": "Ada", "total": Decimal("1.50"), "placed": when, "state": "open", "paid": True}
        return [{"id": number} | row for number in range(5)]

    async def close(self) -> None: ...


def fixed_service(rows: Fixed) -> Service:
    odata = spec()
    backends: dict[str, Backend] = dict.fromkeys(odata.operations, Operations())
    for name, each in odata.entity_sets.items():
        record = TYPES[each.type]
        assert isinstance(record, Record)
        backends[name] = Evaluated(rows, record, TYPES, 100)
    return Service(mount(odata), backends)
