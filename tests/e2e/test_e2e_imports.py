"""Imports published on a started node: documents of others in front of real services, and the shop's own documents
brought back in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest
from lxml import etree
from ruamel.yaml import YAML

from tests.cli.cli_harness import penstock
from tests.e2e.gateway_client import Node

GOLDEN = Path(__file__).parent.parent / "golden" / "imports"
NS = "urn:example:stock"
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
PETS = {1: {"id": 1, "name": "Rex", "kind": "dog", "tags": ["old"]}}


class Services(BaseHTTPRequestHandler):
    """A pet shop that speaks JSON, a stock exchange that speaks SOAP, a fleet that speaks OData."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[list[tuple[str, bytes]]] = []

    def do_GET(self) -> None:
        self.asked.append((f"{self.command} {self.path}", b""))
        path = self.path.partition("?")[0]
        if path == "/api/v1/pets/1":
            self.answer(200, PETS[1])
        elif path == "/api/v1/pets":
            self.answer(200, list(PETS.values()))
        elif path == "/search":
            self.answer(200, {"relayed": True})
        elif path.startswith("/Drivers("):
            self.answer(200, {"@odata.context": "x", "country": "fr", "number": 7})
        elif path == "/Drivers":
            self.answer(200, {"@odata.context": "x", "value": [{"@odata.id": "y", "country": "fr", "number": 7}]})
        else:
            self.answer(404, {"code": "none"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.asked.append((f"{self.command} {self.path}", body))
        if self.path.startswith("/ws/"):
            self.soap(body)
        else:
            self.answer(409, {"code": "taken"})

    def soap(self, body: bytes) -> None:
        symbol = etree.fromstring(body).findtext(f".//{{{NS}}}symbol")
        quote = f"<quote><symbol>{symbol}</symbol><price>12.5</price></quote>"
        inside = f'<GetQuoteResponse xmlns="{NS}">{quote}</GetQuoteResponse>'
        if symbol == "NONE":
            detail = f'<detail><UnknownSymbol xmlns="{NS}"><symbol>NONE</symbol></UnknownSymbol></detail>'
            inside = f"<s:Fault><faultcode>s:Client</faultcode><faultstring>No.</faultstring>{detail}</s:Fault>"
        content = f'<s:Envelope xmlns:s="{SOAP}"><s:Body>{inside}</s:Body></s:Envelope>'.encode()
        self.send(500 if symbol == "NONE" else 200, content, "text/xml")

    def answer(self, status: int, value: Any) -> None:
        self.send(status, json.dumps(value).encode(), "application/json")

    def send(self, status: int, content: bytes, media: str) -> None:
        self.send_response(status)
        for name, value in (("Content-Type", media), ("Content-Length", str(len(content)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_arguments: object) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def services() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Services)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def published(node: Node, kind: str, document: Path, services: str, where: str, folder: Path) -> str:
    """Imports, points the value of the backend's URL to the test's services, publishes; a key for it."""
    out = folder / "made.yaml"
    ran = penstock("import", kind, document, "--out", out)
    assert ran.code == 0, ran.err
    text = out.read_text()
    assert where in text
    node.apply(text.replace(where, services))
    return node.key(text.partition("\nname: ")[2].partition("\n")[0])


def test_an_imported_openapi_document_serves(node: Node, services: str, tmp_path: Path) -> None:
    key = published(node, "openapi", GOLDEN / "pets.openapi.in.yaml", services, "https://pets.example", tmp_path)
    headers = {"X-Pet-Key": key}
    root = "/pet-store/v1"
    assert node.call("GET", f"{root}/pets", headers=headers, params={"tag": ["a", "b"]}).json() == list(PETS.values())
    assert ("GET /api/v1/pets?limit=20&tag=a&tag=b", b"") in Services.asked
    assert node.call("GET", f"{root}/pets/1", headers=headers).json() == PETS[1]
    assert node.call("GET", f"{root}/pets/2", headers=headers).json()["code"] == "NotFound"
    assert node.call("GET", f"{root}/pets/x", headers=headers).status_code == 400
    assert node.call("POST", f"{root}/pets", headers=headers, json={"name": "Rex"}).status_code == 409
    assert node.call("POST", f"{root}/pets", headers=headers, json={"kind": "dog"}).status_code == 400
    assert node.call("GET", f"{root}/search?filter[a]=b", headers=headers).status_code == 404
    assert Services.asked[-1][0] == "GET /api/v1/search?filter[a]=b"
    assert node.call("GET", f"{root}/pets").status_code == 401


def test_an_imported_wsdl_serves_as_rest_and_as_soap(node: Node, services: str, tmp_path: Path) -> None:
    key = published(node, "wsdl", GOLDEN / "stock.wsdl.in.xml", services, "http://stock.example", tmp_path)
    made = node.call("POST", "/stock/v1/GetQuote", key, json={"symbol": "ACME"})
    assert (made.status_code, made.json()["symbol"], float(made.json()["price"])) == (200, "ACME", 12.5)
    lost = node.call("POST", "/stock/v1/GetQuote", key, json={"symbol": "NONE"})
    assert (lost.status_code, lost.json()["code"], lost.json()["symbol"]) == (422, "UnknownSymbol", "NONE")
    assert node.call("POST", "/stock/v1/GetQuote", key, json={"symbol": "much too long"}).status_code == 400
    asked = f'<GetQuote xmlns="{NS}"><symbol>A</symbol></GetQuote>'
    envelope = f'<s:Envelope xmlns:s="{SOAP}"><s:Body>{asked}</s:Body></s:Envelope>'
    relayed = node.call("POST", "/stock/v1/Stock11", key, content=envelope, headers={"Content-Type": "text/xml"})
    assert etree.fromstring(relayed.content).findtext(f".//{{{NS}}}price") == "12.5"


def test_an_imported_metadata_document_serves(node: Node, services: str, tmp_path: Path) -> None:
    key = published(node, "csdl", GOLDEN / "fleet.csdl.in.xml", services, "https://odata.example", tmp_path)
    drivers = [{"country": "fr", "number": 7}]
    root = "/fleet/v1"
    assert node.call("GET", f"{root}/Drivers?$filter=number eq 7&$top=5", key).json() == drivers
    assert node.call("GET", f"{root}/Drivers/fr/7", key).json() == drivers[0]
    assert Services.asked[-1][0] == "GET /Drivers(country='fr',number=7)"
    assert node.call("GET", f"{root}/Drivers/f%27)/7", key).status_code == 400, "a quote would end the literal"
    assert node.call("GET", f"{root}/service/Drivers", key).json()["value"][0]["number"] == 7


def own(node: Node, key: str, path: str, folder: Path) -> Path:
    file = folder / "document"
    file.write_bytes(node.call("GET", path, key).content)
    return file


def imported(kind: str, file: Path) -> Any:
    ran = penstock("import", kind, file, "--name", "back")
    assert ran.code == 0, ran.err
    return YAML(typ="safe").load(ran.out)


def test_the_shops_own_openapi_document_comes_back(node: Node, key: str, tmp_path: Path) -> None:
    file = own(node, key, "/shop/v1/openapi.json", tmp_path)
    made = imported("openapi", file)
    described = json.loads(file.read_text())
    assert {"get_order", "find_orders", "create_order", "find_tax"} <= set(made["operations"])
    assert made["operations"]["find_tax"]["input"].keys() == {"country", "amount"}
    assert set(made["rest"]) == {
        f"{method.upper()} {path}" for path, item in described["paths"].items() for method in item
    }
    order = described["components"]["schemas"]["Order"]
    assert made["types"]["Order"]["properties"].keys() == order["properties"].keys()


def test_the_shops_own_wsdl_comes_back(node: Node, key: str, tmp_path: Path) -> None:
    made = imported("wsdl", own(node, key, "/shop/v1/soap?wsdl", tmp_path))
    assert set(made["operations"]) == {"get_order", "create_order", "find_tax"}
    assert made["operations"]["get_order"]["output"] == "Order"
    assert made["operations"]["find_tax"]["soap"]["result"] == "find_taxResult"


def test_the_shops_own_metadata_comes_back(node: Node, key: str, tmp_path: Path) -> None:
    made = imported("csdl", own(node, key, "/shop/v1/odata/$metadata", tmp_path))
    sets = ("Customers", "Products", "Orders", "OrderLines")
    assert {f"list_{name}" for name in sets} | {f"get_{name}" for name in sets} <= set(made["operations"])
    assert made["operations"]["get_Orders"]["output"] == "OrdersRow"
