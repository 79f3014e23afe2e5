"""Validation on a started node: REST, SOAP and a relay, with schemas in files of the manifest's folder."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import httpx2
import pytest

from tests.e2e.echo import Answering, applied, listening
from tests.e2e.gateway_client import Node

NAME = f"checks-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"  # the node is shared, its upstream is not
CHECKS = """
kind: ApiComponent
name: NAME
version: v1
base_path: /NAME
values: {}
backends:
  shop: {http: {targets: ["URL"]}}
operations:
  add:
    effect: writing
    input: {sku: string, count: int32}
    output: {type: object, properties: {added: {type: string}}, required: [added]}
    fixed: {added: yes-it-was}
types: {Line: {type: object, properties: {sku: {type: string}}, required: [sku], additionalProperties: false}}
policies:
  - {use: anonymous}
  - use: xml-schema
    when: {path: /NAME/soap}
    with: {request: {schema: {$file: add.xsd}, part: soap-body}}
rest:
  POST /add:
    call: add
    policies: [{use: json-limits, with: {request: {string: 5}}}, {use: openapi, with: {responses: true}}]
  ANY /relay/{id}:
    relay: shop
    path: /echo
    policies: [{use: openapi, with: {document: {$file: shop/openapi.yaml}, responses: true}}]
  POST /lines:
    relay: shop
    path: /echo
    policies: [{use: json-schema, with: {request: {schema: {$ref: "#/types/Line"}}}}]
  POST /sized: {relay: shop, path: /echo, policies: [{use: message-size, with: {limit: 1000}}]}
soap: {namespace: "urn:example:checks", operations: [add]}
"""
OPENAPI = """
openapi: 3.1.0
info: {title: Shop, version: "1"}
paths:
  /relay/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
    post:
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [sku]}}}}
      responses:
        "200": {description: Fine., content: {application/json: {schema: {type: object, required: [price]}}}}
"""
XSD = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:example:checks"
  elementFormDefault="qualified"><xs:element name="add"><xs:complexType><xs:sequence>
  <xs:element name="count" type="xs:int"/><xs:element name="sku"><xs:simpleType><xs:restriction base="xs:string">
  <xs:maxLength value="3"/></xs:restriction></xs:simpleType></xs:element></xs:sequence></xs:complexType></xs:element>
</xs:schema>"""


def document(upstream: str) -> str:
    return CHECKS.replace("URL", upstream).replace("NAME", NAME)


class Echo(Answering):
    """Answers what it was sent."""

    seen: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        body = self.body()
        self.seen.append(body)
        self.answer(body, "application/json")


@pytest.fixture(scope="module")
def checks(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder: Path = tmp_path_factory.mktemp("checks")
    (folder / "shop").mkdir()
    (folder / "shop" / "openapi.yaml").write_text(OPENAPI)
    (folder / "add.xsd").write_text(XSD)
    with listening(Echo) as url:
        (folder / "checks.yaml").write_text(document(url))
        yield applied(node, folder / "checks.yaml")


def post(node: Node, path: str, body: Any, **headers: str) -> httpx2.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return node.call("POST", f"/{NAME}{path}", content=content, headers=given)


def places(answer: httpx2.Response) -> list[str]:
    return [error["target"] for error in answer.json()["errors"]]


def test_a_typed_operation_keeps_its_own_document_both_ways(checks: Node) -> None:
    assert post(checks, "/add", {"sku": "abc", "count": 1}).json() == {"added": "yes-it-was"}
    assert places(post(checks, "/add", {"sku": "abcdef", "count": 1})) == ["$.sku"]
    assert places(post(checks, "/add", {"sku": "abc"})) == ["$"]


def test_a_coded_body_reaches_a_typed_operation_behind_a_step_that_reads_it(checks: Node) -> None:
    body = gzip.compress(b'{"sku": "abc", "count": 1}')
    assert post(checks, "/add", body, Content_Encoding="gzip").status_code == 200


def test_a_relay_is_typed_by_an_included_document(checks: Node) -> None:
    Echo.seen.clear()
    assert post(checks, "/relay/7", {"sku": "a", "price": 1}).status_code == 200
    assert places(post(checks, "/relay/seven", {"sku": "a"})) == ["path.id"]
    assert places(post(checks, "/relay/7", {})) == ["$"]
    assert checks.call("GET", f"/{NAME}/relay/7").status_code == 405
    assert len(Echo.seen) == 1
    assert post(checks, "/relay/7", {"sku": "a"}).json()["code"] == "invalid_reply"


def test_a_relay_keeps_a_type_of_the_component(checks: Node) -> None:
    assert post(checks, "/lines", {"sku": "a"}).status_code == 200
    assert places(post(checks, "/lines", {"sku": "a", "more": 1})) == ["$"]


def test_a_body_that_is_too_large_never_leaves(checks: Node) -> None:
    Echo.seen.clear()
    assert post(checks, "/sized", b"1" * 1001).status_code == 413
    assert Echo.seen == []


@pytest.mark.parametrize(("sku", "status"), [("abc", 200), ("abcd", 500)])
def test_a_soap_operation_is_refused_by_a_fault(checks: Node, sku: str, status: int) -> None:
    namespace = "http://schemas.xmlsoap.org/soap/envelope/"
    call = f'<add xmlns="urn:example:checks"><count>1</count><sku>{sku}</sku></add>'
    body = f'<e:Envelope xmlns:e="{namespace}"><e:Body>{call}</e:Body></e:Envelope>'.encode()
    for coded in (False, True):
        headers = {"Content-Type": "text/xml"} | ({"Content-Encoding": "gzip"} if coded else {})
        answer = checks.call("POST", f"/{NAME}/soap", content=gzip.compress(body) if coded else body, headers=headers)
        assert (answer.status_code, b"invalid_input" in answer.content) == (status, status != 200), answer.content


def test_a_file_that_cannot_be_included_is_refused(node: Node) -> None:
    headers = {"Authorization": f"Bearer {node.token}", "Content-Type": "application/yaml"}
    url, content = f"{node.admin}/admin/v1/apply?dry_run=true", document("http://127.0.0.1:9")
    answer = node.client.post(url, content=content, headers=headers)
    assert answer.status_code == 422
    assert "came without a folder" in answer.text
