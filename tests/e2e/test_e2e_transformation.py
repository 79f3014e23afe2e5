"""Transformation on a started node: typed REST, SOAP and a relay, with a template and a stylesheet in files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from gateway.manifest.transfer import MEDIA_TYPE, gather, pack
from tests.e2e.echo import Answering, applied, listening
from tests.e2e.gateway_client import Node

NAME = f"changes-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"  # the node is shared, its upstream is not
CHANGES = """
kind: ApiComponent
name: NAME
version: v1
base_path: /NAME
backends:
  shop: {http: {targets: ["URL"]}}
operations:
  add:
    effect: writing
    input: {sku: string, count: int32}
    output: {type: object, properties: {added: {type: string}}, required: [added]}
    fixed: {added: "4111111111111111"}
  find:
    effect: safe
    input: {id: int64}
    output: {type: object, properties: {id: {type: integer}, name: {type: string}}, required: [id, name]}
    http: {backend: shop, request: "GET /nothing/{id}"}
policies:
  - {use: anonymous}
  - {use: redact, with: {response: {paths: [$..added], elements: [//added], keep: 4, other: skip}}}
rest:
  POST /add:
    call: add
    policies: [base, {use: body, with: {request: {set: {/count: 7}, rename: {/article: sku}}}}]
  GET /find/{id}: {call: find, policies: [base, {use: mock}]}
  POST /made:
    relay: shop
    path: /echo
    policies: [base, {use: template, with: {request: {template: {$file: made.j2}}}}]
  POST /styled:
    relay: shop
    path: /echo
    policies: [base, {use: compress, with: {minimum: 1}}, {use: xslt, with: {request: {stylesheet: {$file: made.xsl}}}}]
  GET /orders/{id}:
    relay: shop
    policies: [base, {use: path, with: {to: "/v2/{id}"}}, {use: query, with: {set: {by: "{client}"}, remove: [debug]}}]
soap: {namespace: "urn:example:changes", operations: [add]}
"""
TEMPLATE = '{"lines": {{ request.body.lines | map("sku") }}}'
SHEET = (
    '<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">'
    '<xsl:template match="/"><order><xsl:value-of select="//id"/></order></xsl:template></xsl:stylesheet>'
)


def document(upstream: str) -> str:
    return CHANGES.replace("URL", upstream).replace("NAME", NAME)


class Echo(Answering):
    """Answers what it was sent, or where it was sent to."""

    def do_POST(self) -> None:
        self.answer(self.body(), self.headers["Content-Type"])

    def do_GET(self) -> None:
        self.answer(json.dumps(self.path).encode(), "application/json")


@pytest.fixture(scope="module")
def changes(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder: Path = tmp_path_factory.mktemp("changes")
    (folder / "made.j2").write_text(TEMPLATE)
    (folder / "made.xsl").write_text(SHEET)
    with listening(Echo) as url:
        (folder / "changes.yaml").write_text(document(url))
        yield applied(node, folder / "changes.yaml")


def ask(node: Node, method: str, path: str, content: bytes | None = None, **fields: str) -> httpx2.Response:
    given = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in fields.items()}
    return node.call(method, f"/{NAME}{path}", content=content, headers=given)


def test_a_typed_call_is_decoded_from_the_changed_body_and_its_reply_redacted(changes: Node) -> None:
    answer = ask(changes, "POST", "/add", b'{"article": "x"}')
    assert (answer.status_code, answer.json()) == (200, {"added": "***1111"})


def test_a_soap_reply_is_redacted(changes: Node) -> None:
    envelope = (
        b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><s:add xmlns:s="urn:example:changes">'
        b"<s:count>1</s:count><s:sku>x</s:sku></s:add></e:Body></e:Envelope>"
    )
    answer = ask(changes, "POST", "/soap", envelope, Content_Type="text/xml", SOAPAction='""')
    assert answer.status_code == 200
    assert b"***1111<" in answer.content
    assert b"4111" not in answer.content


def test_an_operation_is_mocked_and_its_backend_not_asked(changes: Node) -> None:
    assert ask(changes, "GET", "/find/5").json() == {"id": 1, "name": "name"}


def test_a_template_and_a_stylesheet_of_files_make_what_the_backend_gets(changes: Node) -> None:
    made = ask(changes, "POST", "/made", b'{"lines": [{"sku": "a\\"b"}, {"sku": "c"}]}')
    assert made.json() == {"lines": ['a"b', "c"]}
    styled = ask(changes, "POST", "/styled", b"<o><id>7</id></o>", Content_Type="text/xml", Accept_Encoding="gzip")
    assert styled.headers["content-encoding"] == "gzip"
    assert b"<order>7</order>" in styled.content


def test_the_backend_gets_another_path_and_query(changes: Node) -> None:
    assert ask(changes, "GET", "/orders/a%20b?debug=1&x=%7E").json() == "/v2/a%20b?x=%7E&by=127.0.0.1"


def test_a_template_that_cannot_be_compiled_is_refused_with_its_place(changes: Node, tmp_path: Path) -> None:
    (tmp_path / "made.j2").write_text("{{ request.body.lines }\n{% if %}")
    (tmp_path / "made.xsl").write_text(SHEET)
    (tmp_path / "changes.yaml").write_text(document("http://127.0.0.1:9"))
    content = pack(gather([tmp_path / "changes.yaml"]))
    headers = {"Authorization": f"Bearer {changes.token}", "Content-Type": MEDIA_TYPE}
    answer = changes.client.post(f"{changes.admin}/admin/v1/apply?dry_run=true", content=content, headers=headers)
    assert answer.status_code == 422
    assert "changes.yaml" in answer.text
    assert "of the template" in answer.text
