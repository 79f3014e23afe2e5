"""Ways to authenticate and steps that authorise, over sockets, on a node whose two workers share the store."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import json
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from argon2 import PasswordHasher

from tests.e2e.gateway_client import Node

PASSWORD = "planted-password-of-ann"
SECRET = "planted-secret-of-both-sides"
ASKING = "planted-token-for-the-service"
NS = "urn:example:doors"
DOORS = """kind: ApiComponent
name: doors
version: v1
base_path: /doors
operations:
  look: {effect: safe, fixed: seen, input: {ok: string?, x: string?}, output: string}
  open: {effect: writing, fixed: opened, input: {a: int32?}, output: string}
policies:
  - id: who
    use: any-of
    with:
      steps:
        - {use: api-key}
        - {use: basic, with: {directory: true, users: {ann: {password: "HASH", application: ann, roles: [clerk]}}}}
        - {use: hmac, with: {keys: {partner: {secret: SECRET, application: partner, roles: [clerk]}}}}
  - {id: what, use: cel, with: {expression: 'operation != "open" || "clerk" in identity.roles'}}
rest:
  GET /look: look
  POST /open: {call: open}
  GET /here: {call: look, policies: [{use: access-list, with: {allow: {clients: ["::1", 127.0.0.0/8]}}}]}
  GET /there: {call: look, policies: [{use: access-list, with: {allow: {clients: [192.0.2.0/24]}}}]}
  GET /scoped: {call: look, policies: [{use: scopes, with: {all: [doors:look]}}]}
soap: {namespace: "urn:example:doors", operations: [look, open]}
odata: {operations: [look, open]}
"""
DECIDED = """kind: ApiComponent
name: NAME
version: v1
base_path: /NAME
operations: {look: {effect: safe, fixed: seen, input: {ok: string?, x: string?}, output: string}}
policies:
  - {use: api-key}
  - {use: external-decision, with: {url: "URL/decide", fields: {Authorization: "Bearer ASKING"}, timeout: 5s}}
rest: {GET /decided: look}
"""


class Decides(http.server.BaseHTTPRequestHandler):
    """A decision service that lets in whom its query names."""

    protocol_version = "HTTP/1.1"
    asked: list[dict[str, Any]]

    def do_POST(self) -> None:
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).asked.append(told | {"authorization": self.headers["Authorization"]})
        body = json.dumps({"allow": "ok" in told["request"]["query"], "reason": "Ask nicely."}).encode()
        self.send_response(200)
        for name, value in (("Content-Type", "application/json"), ("Content-Length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def service() -> Iterator[http.server.ThreadingHTTPServer]:
    Decides.asked = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Decides)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def doors(node: Node) -> Node:
    node.apply(DOORS.replace("HASH", PasswordHasher(1, 8, 1).hash(PASSWORD)).replace("SECRET", SECRET))
    return node


def basic(user: str = "ann", password: str = PASSWORD) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def signed(node: Node, method: str, target: str, body: bytes | None = None, nonce: str = "") -> dict[str, str]:
    created, host = int(time.time()), node.url.removeprefix("http://")
    nonce = nonce or f"nonce-{time.monotonic_ns()}"
    digest = "" if body is None else f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
    lines = ["HMAC-SHA256", "partner", str(created), nonce, method, target, host, digest]
    text = base64.b64encode(hmac.new(SECRET.encode(), "\n".join(lines).encode(), hashlib.sha256).digest()).decode()
    field = f'HMAC-SHA256 keyid="partner", created={created}, nonce="{nonce}", signature="{text}"'
    return {"Authorization": field} | ({"Content-Digest": digest} if digest else {})


def test_each_way_opens_the_door_and_none_hears_of_all(doors: Node) -> None:
    assert doors.call("GET", "/doors/look", doors.key("doors")).status_code == 200
    assert doors.call("GET", "/doors/look", headers=basic()).status_code == 200
    assert doors.call("GET", "/doors/look", headers=signed(doors, "GET", "/doors/look")).status_code == 200
    refused = doors.call("GET", "/doors/look")
    assert refused.status_code == 401
    for challenge in ('ApiKey realm="doors"', 'Basic realm="doors"', 'HMAC-SHA256 realm="doors"'):
        assert challenge in refused.headers["WWW-Authenticate"]


@pytest.mark.parametrize("headers", [basic(password="wrong"), basic("nobody"), {"X-API-KEY": "pk_" + "x" * 43}])
def test_a_wrong_credential_is_refused(doors: Node, headers: dict[str, str]) -> None:
    assert doors.call("GET", "/doors/look", headers=headers).status_code == 401


def test_a_password_of_the_directory_opens_the_door(doors: Node) -> None:
    name = f"basic-{time.monotonic_ns()}"
    doors.administer("POST", "/applications", json={"name": name})
    doors.administer("POST", "/subscriptions", json={"application": name, "api": "doors"})
    made = doors.administer(
        "POST", "/credentials", json={"type": "basic", "name": name, "application": name, "password": "a long password"}
    )
    assert doors.call("GET", "/doors/look", headers=basic(name, "a long password")).status_code == 200
    assert doors.call("GET", "/doors/look", headers=basic(name, "another password")).status_code == 401
    doors.administer("DELETE", f"/credentials/{made.json()['id']}")
    assert doors.call("GET", "/doors/look", headers=basic(name, "a long password")).status_code == 401


def test_a_signed_request_is_good_once_on_all_workers(doors: Node) -> None:
    headers = signed(doors, "GET", "/doors/look", nonce=f"once-{time.monotonic_ns()}")
    statuses = [
        doors.client.request("GET", f"{doors.url}/doors/look", headers={**headers, "Connection": "close"}).status_code
        for _ in range(12)
    ]
    assert statuses == [200] + [401] * 11


def test_a_signed_body_is_compared_with_the_body(doors: Node) -> None:
    for body, status in ((b"{}", 200), (b'{"a":1}', 401)):
        headers = signed(doors, "POST", "/doors/open", b"{}") | {"Content-Type": "application/json"}
        assert doors.call("POST", "/doors/open", headers=headers, content=body).status_code == status


def run(node: Node, protocol: str, operation: str, key: str | None, headers: dict[str, str]) -> tuple[int, bytes]:
    if protocol == "soap":
        space = "http://schemas.xmlsoap.org/soap/envelope/"
        body = f'<e:Envelope xmlns:e="{space}"><e:Body><{operation} xmlns="{NS}"/></e:Body></e:Envelope>'
        answer = node.call("POST", "/doors/soap", key, content=body, headers={"Content-Type": "text/xml", **headers})
    elif protocol == "odata":
        if operation == "look":
            answer = node.call("GET", "/doors/odata/look()", key, headers=headers)
        else:
            answer = node.call("POST", "/doors/odata/open", key, json={}, headers=headers)
    else:
        parts: Any = {} if operation == "look" else {"json": {}}
        answer = node.call("POST" if parts else "GET", f"/doors/{operation}", key, headers=headers, **parts)
    return answer.status_code, answer.content


@pytest.mark.parametrize("protocol", ["rest", "soap", "odata"])
def test_a_step_of_the_component_decides_on_the_operation(doors: Node, protocol: str) -> None:
    """DESIGN 5"""
    key = doors.key("doors")
    assert run(doors, protocol, "look", key, {})[0] == 200
    status, content = run(doors, protocol, "open", key, {})
    assert status in {403, 500 if protocol == "soap" else 403}
    assert b"forbidden" in content
    assert run(doors, protocol, "open", None, basic())[0] == 200


def test_explain_tells_what_waits_for_the_operation(doors: Node) -> None:
    told = doors.administer("POST", "/explain", json={"method": "POST", "url": "/doors/soap"}).json()
    assert [step["use"] for step in told["steps"] if step["scope"] != "gateway"] == [
        "any-of", "buffer", "dispatch(soap)", "cel", "decode(soap)", "call"
    ]  # fmt: skip


def test_a_service_outside_decides(node: Node, service: http.server.ThreadingHTTPServer) -> None:
    name = f"decided-{os.getpid()}"  # the service runs in this process of the tests
    filled = DECIDED.replace("NAME", name).replace("ASKING", ASKING)
    node.apply(filled.replace("URL", f"http://127.0.0.1:{service.server_address[1]}"))
    key = node.key(name)
    assert node.call("GET", f"/{name}/decided?ok=1", key).status_code == 200
    refused = node.call("GET", f"/{name}/decided?x=1", key)
    assert (refused.status_code, refused.json()["detail"]) == (403, "Ask nicely.")
    told = Decides.asked[-1]
    assert (told["operation"], told["endpoint"]) == ("look", "GET /decided")
    assert told["authorization"] == f"Bearer {ASKING}"
    assert key not in json.dumps(told)


def test_addresses_and_scopes_decide(doors: Node) -> None:
    key = doors.key("doors")
    found = {path: doors.call("GET", f"/doors/{path}", key) for path in ("here", "there", "scoped")}
    assert {path: answer.status_code for path, answer in found.items()} == {"here": 200, "there": 403, "scoped": 403}
    assert 'error="insufficient_scope"' in found["scoped"].headers["WWW-Authenticate"]


def test_openapi_tells_the_ways_in(doors: Node) -> None:
    document = doors.call("GET", "/doors/openapi.json", doors.key("doors")).json()
    assert document["paths"]["/look"]["get"]["security"] == [{"api-key": []}, {"basic": []}, {"hmac": []}]


def test_no_secret_of_a_caller_or_a_step_is_told(doors: Node) -> None:
    """CASES C41: after all of the above, in audit, nodes, metrics and the snapshot."""
    told = "".join(
        doors.administer("GET", path).text for path in ("/audit?limit=500", "/nodes", "/health", "/policy-kinds")
    )
    for planted in (PASSWORD, base64.b64encode(f"ann:{PASSWORD}".encode()).decode()):
        assert planted not in told
