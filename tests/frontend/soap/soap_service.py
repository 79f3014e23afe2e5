"""The service that the SOAP tests call: its operations, its chain in memory, messages for it."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from lxml import etree

from gateway.core import chain as chains
from gateway.core.chain import Chain
from gateway.core.errors import Problem
from gateway.core.exchange import Exchange, Head, Reply
from gateway.frontend.soap.mount import SoapMount
from gateway.schema.contract import read_operation
from gateway.schema.json_schema import read_types
from gateway.schema.types import Operation, Types
from gateway.snapshot.spec import SoapSpec

NS = "urn:example:shop:v2"
ADDRESS = "/shop/v2/soap"
ENV11 = "http://schemas.xmlsoap.org/soap/envelope/"
ENV12 = "http://www.w3.org/2003/05/soap-envelope"
P = "{urn:penstock}"

TYPES = {
    "Line": {
        "type": "object",
        "properties": {
            "sku": {"type": "string", "minLength": 1, "maxLength": 20},
            "count": {"type": "integer", "format": "int32", "minimum": 1},
        },
        "required": ["sku", "count"],
    },
    "State": {"enum": ["open", "paid", "sent out"]},
    "Order": {
        "type": "object",
        "properties": {
            "id": {"type": "integer", "format": "int64"},
            "state": {"$ref": "#/types/State"},
            "total": {"type": "string", "format": "decimal", "x-precision": 12, "x-scale": 2},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "lines": {"type": "array", "items": {"$ref": "#/types/Line"}},
            "part_of": {"$ref": "#/types/Order"},
        },
        "required": ["id", "state", "lines"],
    },
}

CONTRACTS: dict[str, dict[str, Any]] = {
    "get_order": {
        "effect": "safe",
        "summary": "One order.",
        "input": {
            "type": "object",
            "properties": {"id": {"type": "integer", "format": "int64"}},
            "required": ["id"],
        },
        "output": {"$ref": "#/types/Order"},
        "errors": {"OrderNotFound": {"status": 404, "title": "No such order"}, "Broken": {"status": 502}},
    },
    "create_order": {
        "effect": "writing",
        "input": {
            "type": "object",
            "properties": {"order": {"$ref": "#/types/Order"}},
            "required": ["order"],
        },
        "output": {"type": "integer", "format": "int64"},
    },
    "forget": {
        "effect": "writing",
        "input": {"type": "object", "properties": {"id": {"type": "integer", "format": "int64"}}, "required": ["id"]},
    },
}


def types() -> Types:
    return read_types(TYPES)


def operations() -> dict[str, Operation]:
    known = types()
    return {name: read_operation(name, contract, known) for name, contract in CONTRACTS.items()}


def mount(offered: Mapping[str, Operation] | None = None, known: Types | None = None) -> SoapMount:
    offered = operations() if offered is None else offered
    spec = SoapSpec(namespace=NS, operations=tuple(offered))
    known = types() if known is None else known
    return SoapMount(
        "shop", "v2", spec, offered, known, lambda exchange: f"http://{exchange.head.host.decode()}{ADDRESS}"
    )


class _Wire:
    """Keeps the reply."""

    def __init__(self) -> None:
        self.reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

    def send(self, exchange: Exchange, reply: Reply) -> None:
        chains.close(exchange)
        self.reply.set_result(reply)


async def answer(service: SoapMount, processes: Mapping[str, Callable[..., Any]], head: Head, body: bytes) -> Reply:
    """What the gateway does with a SOAP request: route, dispatch, decode, call, encode."""

    def document(exchange: Exchange) -> Reply:
        return service.documents[""](exchange)

    def decode(exchange: Exchange) -> Any:
        return service.endpoints[service.dispatch(exchange)].decode(exchange)

    def call(exchange: Exchange) -> Reply:
        assert exchange.call is not None
        name = exchange.call.operation
        return service.endpoints[name].encode(exchange, processes[name](**exchange.call.input))

    steps: tuple[Any, ...] = (document,) if head.method == b"GET" else (decode, call)
    wire = _Wire()
    exchange = Exchange("request-1", head, wire, Chain("soap", steps, service.render))  # type: ignore[arg-type]
    exchange.body = body
    chains.run(exchange)
    return await wire.reply


class OrderNotFound(Problem):
    status, title = 404, "No such order"


class Broken(Problem):
    status, title = 502, "The ledger is down"


def envelope(content: str, version: str = "1.1", header: str = "") -> bytes:
    namespace = ENV11 if version == "1.1" else ENV12
    head = f"<e:Header>{header}</e:Header>" if header else ""
    text = f'<e:Envelope xmlns:e="{namespace}" xmlns:t="{NS}">{head}<e:Body>{content}</e:Body></e:Envelope>'
    return text.encode()


GET_7 = "<t:get_order><t:id>7</t:id></t:get_order>"


class Answer:
    """A reply, opened."""

    def __init__(self, reply: Reply) -> None:
        self.status = reply.status
        self.reply = reply
        self.media = (reply.get(b"content-type") or b"").decode()
        self.root = etree.fromstring(reply.body or b"<none/>")

    def text(self, path: str) -> str | None:
        """The text at an ElementPath below the envelope."""
        return self.root.findtext(path)

    @property
    def fault_code(self) -> str | None:
        return self.text(".//faultcode") or self.text(f".//{{{ENV12}}}Code/{{{ENV12}}}Value")

    @property
    def reason(self) -> str:
        return self.text(".//faultstring") or self.text(f".//{{{ENV12}}}Text") or ""

    @property
    def problem(self) -> str | None:
        return self.text(f".//{P}problem/{P}code")


PROCESSES: dict[str, Callable[..., Any]] = {
    "get_order": lambda id: {"id": id, "state": "open", "lines": [{"sku": "a", "count": 2}]},
    "create_order": lambda order: order["id"],
    "forget": lambda id: None,
}


async def post(
    body: bytes,
    content_type: str = "text/xml; charset=utf-8",
    action: str | None = None,
    processes: Mapping[str, Callable[..., Any]] = PROCESSES,
    service: SoapMount | None = None,
) -> Answer:
    block = f"\r\nContent-Type: {content_type}" if content_type else ""
    if action is not None:
        block += f"\r\nSOAPAction: {action}"
    head = Head(b"POST", ADDRESS.encode(), b"", block.encode(), b"shop.example")
    return Answer(await answer(service or mount(), processes, head, body))
