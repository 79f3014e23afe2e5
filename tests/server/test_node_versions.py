"""Versions on a running node: pins, canaries and callers, over sockets and by the command line's own REST."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.server.nodes import Node, ask, until

SHOP = """
kind: ApiComponent
name: shop
version: VERSION
base_path: /shop
select_by: [header, query]
default: DEFAULT
policies: [{id: keys, use: api-key}]
operations: {text: {effect: safe, fixed: TEXT, output: string}}
rest: {GET /text: text}
"""


def shop(version: str, text: str) -> str:
    found = SHOP.replace("VERSION", version).replace("TEXT", text)
    return found.replace("DEFAULT", "true" if version == "v1" else "false")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder: Path = tmp_path_factory.mktemp("versions")
    with Node(folder).start() as started:
        for version in ("v1", "v2"):
            applied(started, shop(version, version))
        for name in ("partner", "pinned"):
            started.admin("POST", "/applications", json={"name": name})
        yield started


def applied(node: Node, text: str, **query: str) -> Any:
    answer = node.admin("POST", "/apply", content=text, headers={"Content-Type": "application/yaml"}, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture(scope="module")
def keys(node: Node) -> dict[str, str]:
    made = {}
    for name in ("partner", "pinned"):
        answer = node.admin("POST", "/keys", json={"application": name, "api": "shop"})
        made[name] = answer.json()["key"]
    answer = node.admin("PATCH", "/subscriptions/pinned/shop", json={"version": "v2"})
    assert answer.status_code == 200, answer.text
    return made


def text(node: Node, key: str, path: str = "/shop/text") -> Any:
    answer = node.get(path, key)
    return answer.json() if answer.status_code == 200 else answer.status_code


def test_a_pin_chooses_the_version_of_an_applications_requests(node: Node, keys: dict[str, str]) -> None:
    """PROTOCOLS R4."""
    until(lambda: text(node, keys["pinned"]) == "v2", "the pin is known")
    assert text(node, keys["partner"]) == "v1"
    assert text(node, keys["pinned"], "/shop/text?api-version=v1") == "v1"
    assert text(node, "no-such-key") == 401


def test_a_canary_gets_the_applications_that_are_listed_and_metrics_tell_both(node: Node, keys: dict[str, str]) -> None:
    applied(node, shop("v1", "canary"), canary="0%", canary_applications="partner")
    assert {text(node, keys["partner"]) for _ in range(6)} == {"canary"}
    assert text(node, keys["pinned"], "/shop/text?api-version=v1") == "v1"
    shown = node.admin("GET", "/versions/shop@v1").json()

    def counted() -> bool:
        metrics = node.admin("GET", "/metrics").text
        return all(
            f'penstock_revision_requests_total{{component="shop",version="v1",revision="{revision}",status="2xx"}}'
            in metrics
            for revision in (shown["revision"], shown["canary"]["revision"])
        )

    until(counted, "both revisions are in the metrics")
    assert node.admin("DELETE", "/versions/shop@v1/canary").status_code == 200
    assert text(node, keys["partner"]) == "v1"


def test_a_retired_version_is_gone_at_once_and_comes_back(node: Node, keys: dict[str, str]) -> None:
    node.admin("PUT", "/versions/shop@v2/lifecycle", json={"status": "retired", "successor": "v1"})
    assert text(node, keys["pinned"]) == 410
    node.admin("DELETE", "/versions/shop@v2/lifecycle")
    assert text(node, keys["pinned"]) == "v2"


def test_every_call_is_counted_also_over_a_restart(tmp_path: Path) -> None:
    with Node(tmp_path).start() as node:
        applied(node, shop("v1", "v1"))
        node.admin("POST", "/applications", json={"name": "partner"})
        key = node.admin("POST", "/keys", json={"application": "partner", "api": "shop"}).json()["key"]
        for _ in range(20):
            assert text(node, key) == "v1"
        assert node.stop() == 0
        node.start()
        for _ in range(5):
            assert text(node, key) == "v1"

        def called() -> Any:
            return node.admin("GET", "/versions/shop@v1/callers?days=2").json()["calls"] == 25

        until(called, "all 25 calls are told")


LANES = """
kind: ApiComponent
name: lanes
version: VERSION
base_path: /lanes/{version}
backends:
  erp: {http: {targets: ["SEEN"]}}
  shadow: {http: {targets: ["SHADOW"]}}
operations: {text: {effect: safe, input: {n: "int32?"}, fixed: hello, output: string}}
policies: [{use: anonymous}, {use: mirror, when: {header: {X-To: V2}}, with: {to: v2, unsafe: true}}, MORE]
rest: {GET /text: text, ANY /erp/**: {relay: erp, path: "/api/**"}}
soap: {namespace: urn:lanes, operations: [text]}
odata: {operations: [text]}
"""
ENVELOPE = (
    '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><text xmlns="urn:lanes"/></e:Body>'
    "</e:Envelope>"
)


@contextlib.contextmanager
def recorder(status: int) -> Iterator[tuple[str, list[str]]]:
    """A server on a port of its own, and the targets that it was asked for."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_command_tells_what_the_copies_of_every_lane_got(node: Node) -> None:
    """REST, SOAP and OData calls go to v2; relays to a backend of the version, at the path that their own got."""
    with recorder(200) as (erp, at_erp), recorder(503) as (shadow, at_shadow):
        text = LANES.replace("SEEN", erp).replace("SHADOW", shadow)
        to_backend = "{use: mirror, id: shadow, when: {path: {prefix: /lanes/v1/erp}}, with: {to: {backend: shadow}}}"
        old = text.replace("VERSION", "v1").replace("MORE", to_backend).replace("V2", "v2")
        new = text.replace("VERSION", "v2").replace("{to: v2, unsafe: true}", "{to: v1}").replace("MORE", "base")
        applied(node, f"{old}\n---\n{new.replace(', base]', ']')}")
        to_v2 = {"X-To": "v2"}
        for _ in range(3):
            assert ask("GET", f"{node.url}/lanes/v1/text", headers=to_v2).status_code == 200
            soap = {**to_v2, "Content-Type": "text/xml", "SOAPAction": '""'}
            assert ask("POST", f"{node.url}/lanes/v1/soap", headers=soap, content=ENVELOPE).status_code == 200
            assert ask("GET", f"{node.url}/lanes/v1/odata/text()", headers=to_v2).status_code == 200
            assert ask("GET", f"{node.url}/lanes/v1/erp/a/b?c=d").status_code == 200

        def told() -> list[dict[str, Any]]:
            command = [sys.executable, "-m", "gateway.cli.main", "mirror", "lanes@v1", "--json"]
            where = {"PENSTOCK_URL": node.admin_url, "PENSTOCK_TOKEN": node.token}
            done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **where}, check=True)
            return list(json.loads(done.stdout)["items"])

        until(lambda: sum(each["compared"] for each in told()) == 12, "all copies are told")
        found = {(each["endpoint"], each["to"]): each["statuses"] for each in told()}
    assert found == {
        ("ANY /erp/**", "backend shadow"): {"200 503": 3},
        ("GET /text", "v2"): {"200 200": 3},
        ("odata text", "v2"): {"200 200": 3},
        ("soap text", "v2"): {"200 200": 3},
    }
    assert at_erp == at_shadow == ["/api/a/b?c=d"] * 3
