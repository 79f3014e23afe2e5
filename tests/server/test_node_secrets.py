"""Secrets of every kind are planted into a started node, used well and badly, and looked for in all that it says and
keeps (CASES C39, C41, M72). Hashed and encrypted forms aside, none is found."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest
import redis

from tests.server.nodes import Node, ask, until

COMPONENT = """
kind: ApiComponent
name: planted
version: v1
base_path: /planted
documents: public
operations:
  hello: {output: string, fixed: hello}
backends:
  up: {http: {targets: ["http://127.0.0.1:9"]}}
  books: {sql: {url: "sqlite+aiosqlite:////nowhere/secret:backend"}}
policies:
  - {id: set, use: headers, with: {request: {set: {X-Step: "secret:step"}}}}
rest:
  GET /keyed: {call: hello, policies: [{use: api-key}]}
  GET /basic: {call: hello, policies: [{use: basic, with: {directory: true}}]}
  GET /hmac: {call: hello, policies: [{use: hmac, with: {directory: true}}]}
  GET /signed: {call: hello, policies: [{use: jwt, with: {
    issuer: "https://issuer.example", audience: planted, algorithms: [HS256], secret: "secret:jwt"}}]}
  GET /open: {call: hello, policies: [{use: anonymous}]}
  "GET /up/**": {relay: up, policies: [{use: anonymous}]}
"""
COOKIE = "planted-cookie-9f2c81d4a7e6"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJwbGFudGVkIn0.planted-signature-3ab19c"
CHOSEN = "planted-password-chosen-5c1e77"
WRONG = "planted-wrong-secret-0b8d4412ff"
OF_NODE = {name: f"planted-{name}-of-the-environment-7d21e9" for name in ("backend", "step", "jwt")}


@dataclass
class Planted:
    """`secrets` by what they are; `said` is every text that the node answered, but the answers that made one."""

    node: Node
    secrets: dict[str, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def ask(self, path: str, **headers: str) -> httpx2.Response:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = ask("GET", f"{self.node.url}/planted{path}", headers=sent)
        self.said.append(f"{answer.headers} {answer.text}")
        return answer

    def admin(self, method: str, path: str, **options: object) -> httpx2.Response:
        answer = self.node.admin(method, path, **options)
        self.said.append(f"{answer.headers} {answer.text}")
        return answer

    def make(self, what: str, path: str, member: str, **body: object) -> str:
        made = self.node.admin("POST", path, json=body)
        assert made.status_code == 201, made.text
        self.secrets[what] = made.json()[member] or CHOSEN
        return str(made.json().get("name", ""))

    def forms(self) -> dict[str, str]:
        """As they are, percent-encoded, and in base64 at each offset."""
        found = {}
        for what, secret in self.secrets.items():
            found[what] = secret
            found[f"{what}, encoded"] = quote(secret, safe="")
            for offset in range(3):
                text = base64.b64encode(b"x" * offset + secret.encode()).decode()
                found[f"{what}, base64 {offset}"] = text[4 * (offset > 0) : -4]
        return {what: form for what, form in found.items() if len(form) >= 16}

    def found_in(self, text: str) -> list[str]:
        return [what for what, form in self.forms().items() if form in text]


def _environment(folder: Path) -> Path:
    (folder / "secrets").mkdir(parents=True)
    lines = ["kind: Environment", "name: planted", "secrets:"]
    for name, secret in OF_NODE.items():
        (folder / "secrets" / name).write_text(secret)
        lines.append(f"  {name}: {{file: secrets/{name}}}")
    path = folder / "environment.yaml"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planted]:
    folder = tmp_path_factory.mktemp("planted")
    given = {"PENSTOCK_ADMIN_TOKEN": "pt_planted-first-admin-token-41f0c2"}  # one that is made is printed once
    with Node(folder / "node", "--environment", str(_environment(folder)), workers=1, **given) as node:
        node.start()
        made = Planted(node, {f"environment {name}": secret for name, secret in OF_NODE.items()})
        made.secrets |= {"cookie": COOKIE, "jwt": JWT, "wrong": WRONG, "chosen": CHOSEN, "admin token": node.token}
        assert node.apply(COMPONENT).status_code == 200, node.apply(COMPONENT).text
        _use(made)
        yield made


def _use(made: Planted) -> None:
    """Each in a request that is right and in one that is wrong."""
    made.admin("POST", "/applications", json={"name": "partner"})
    owned = {"application": "partner", "api": "planted"}
    made.make("api key", "/keys", "key", **owned)
    user = made.make("password", "/credentials", "secret", type="basic", **owned)
    made.make("chosen password", "/credentials", "secret", type="basic", name="chosen", password=CHOSEN, **owned)
    made.make("hmac secret", "/credentials", "secret", type="hmac", **owned)
    made.make("client secret", "/credentials", "secret", type="oauth-client", **owned)
    made.make("token", "/tokens", "token", name="ci", roles=["viewer"])
    until(lambda: made.ask("/keyed", X_API_KEY=made.secrets["api key"]).status_code == 200, "the key opens")
    for secret in made.secrets.values():
        made.ask("/keyed", X_API_KEY=secret + "x", Cookie=f"session={COOKIE}")
        made.ask("/signed", Authorization=f"Bearer {secret}")
        made.ask("/open", Authorization=f"Bearer {secret}", Cookie=f"session={COOKIE}")
        basic = base64.b64encode(f"{user}:{secret}".encode()).decode()
        made.ask("/basic", Authorization=f"Basic {basic}")
        made.ask("/hmac", Authorization=f"HMAC {secret}")
    made.ask("/up/there")
    made.ask("/signed", Authorization=f"Bearer {JWT}")
    for method, path in (("GET", "/versions"), ("POST", "/keys"), ("POST", "/apply")):
        made.said.append(ask(method, f"{made.node.admin_url}/admin/v1{path}", headers=_bearer(WRONG)).text)
    made.admin("POST", "/tokens", json={"name": "x", "roles": [WRONG]}, headers={"X-Nothing": WRONG})
    made.said.pop()  # what was sent as a role is told back: it was given as a name
    wrong = COMPONENT.replace("audience: planted", "audience: [1]")
    made.admin("POST", "/apply", content=wrong.encode(), headers={"Content-Type": "application/yaml"})


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_the_credentials_are_used_and_open_what_they_open(planted: Planted) -> None:
    """Else the search would find nothing because nothing was there."""
    assert len(planted.secrets) == 14
    basic = base64.b64encode(f"chosen:{CHOSEN}".encode()).decode()
    assert planted.ask("/basic", Authorization=f"Basic {basic}").status_code == 200
    assert planted.ask("/keyed", X_API_KEY=planted.secrets["api key"]).status_code == 200
    assert planted.ask("/keyed", X_API_KEY=WRONG).status_code == 401


def test_no_answer_tells_a_secret(planted: Planted) -> None:
    assert planted.found_in("\n".join(planted.said)) == []


@pytest.mark.parametrize(
    "path",
    [
        "/audit?limit=1000", "/snapshot", "/nodes", "/environments", "/health", "/metrics", "/policies", "/plans",
        "/policy-kinds?limit=1000", "/versions", "/versions/planted@v1", "/versions/planted@v1/activations",
        "/revisions",
        "/keys", "/credentials", "/tokens", "/applications", "/subscriptions", "/components",
        "/versions/planted@v1/callers",
    ],
)  # fmt: skip
def test_no_list_tells_a_secret(planted: Planted, path: str) -> None:
    answer = planted.node.admin("GET", path)
    assert answer.status_code == 200, answer.text
    assert planted.found_in(answer.text) == []


def test_no_explanation_and_no_revision_tells_a_secret(planted: Planted) -> None:
    asked = {"method": "GET", "url": "/planted/keyed", "headers": {"Accept": "*/*"}}
    revision = planted.node.admin("GET", "/versions/planted@v1").json()["revision"]
    for answer in (
        planted.node.admin("POST", "/explain", json=asked),
        planted.node.admin("GET", f"/revisions/{revision}"),
    ):
        assert answer.status_code == 200, answer.text
        assert "secret:step" in answer.text or "keyed" in answer.text
        assert planted.found_in(answer.text) == []


def test_no_log_holds_a_secret(planted: Planted) -> None:
    """What the node says, its log, and the access log with every request of these tests."""
    access = planted.node.data / "log" / "access.log"
    until(lambda: access.exists() and "/planted/signed" in access.read_text(), "the access log is written")
    assert planted.found_in(planted.node.log.read_text() + "\n".join(planted.node.said)) == []
    assert planted.found_in(access.read_text()) == []


def test_no_file_of_the_node_holds_a_secret(planted: Planted) -> None:
    """The last known good among them. The context is for whoever runs the command line here: it has the admin token."""
    looked = 0
    for path in planted.node.data.rglob("*"):
        if path.is_file() and path.name != "context.json":
            looked += 1
            assert planted.found_in(path.read_bytes().decode("latin-1")) == [], path
    assert looked > 3


def test_the_store_holds_no_secret(planted: Planted) -> None:
    found = 0
    with redis.Redis.from_url(planted.node.store_url) as client:
        for key in client.scan_iter():
            found += 1
            dumped = key.decode("latin-1") + _text(client, key)
            assert planted.found_in(dumped) == [], key
    assert found > 5


def _text(client: redis.Redis, key: bytes) -> str:
    read = {
        b"hash": client.hgetall,
        b"string": client.get,
        b"stream": client.xrange,
        b"set": client.smembers,
        b"zset": lambda key: client.zrange(key, 0, -1),
        b"list": lambda key: client.lrange(key, 0, -1),
        b"none": lambda _key: "",
    }
    return repr(read[client.type(key)](key))
