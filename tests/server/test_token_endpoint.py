"""The token endpoint on two started nodes over one store, asked by Authlib's own client and by hand."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest
import requests
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT

from tests.policy.issuer import ec_key, jwk, rsa_key
from tests.server.nodes import Node, ask, until
from tests.servers import running_valkey

SECRET = "the cluster's own secret, long enough"
API = """kind: ApiComponent
name: books
version: v1
base_path: /books
operations: {{greet: {{output: string, fixed: hello}}}}
policies: [{{use: jwt, with: {{issuer: "{issuer}", audience: books, type: at+jwt, subscription: required}}}}]
rest: {{GET /greet: greet}}
"""


@dataclass
class Two:
    """Two nodes of one cluster; `issuer` is the first one's URL. A client has a secret, another has a key."""

    one: Node
    two: Node
    issuer: str
    secret: str

    def ask(self, path: str = "token", auth: Any = ("machine", None), **form: str) -> httpx2.Response:
        pair = None if auth is None else (auth[0], auth[1] or self.secret)
        data = ({"grant_type": "client_credentials"} if path == "token" else {}) | form
        return ask("POST", f"{self.one.url}/oauth2/{path}", data=data, auth=pair)

    def token(self, **form: str) -> str:
        answer = self.ask(**form)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def greet(self, token: str, node: Node | None = None) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return ask("GET", f"{(node or self.one).url}/books/greet", headers=headers).status_code

    def create(self, name: str, **more: Any) -> Any:
        body = {"type": "oauth-client", "application": "partner", "name": name, "scopes": ["read", "write"]} | more
        made = self.one.admin("POST", "/credentials", json=body)
        assert made.status_code == 201, made.text
        return made.json()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    folder = tmp_path_factory.mktemp("issuer")
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    # no egress at all: a node's own issuer is found without the network
    given = {"PENSTOCK_KEY_SECRET": SECRET, "PENSTOCK_ISSUER": issuer, "PENSTOCK_EGRESS": "example.com"}
    given["PENSTOCK_ADMIN_TOKEN"] = "pt_for-both-nodes-of-the-cluster"
    people = {
        "PENSTOCK_EGRESS": "127.0.0.1",
        "PENSTOCK_ADMIN_OIDC_ISSUER": issuer,
        "PENSTOCK_ADMIN_OIDC_AUDIENCE": "books",
        "PENSTOCK_ADMIN_OIDC_ROLES": "clerk=viewer",
    }
    with running_valkey() as url:
        options = ("--store", url)
        one = Node(folder / "one", *options, "--node", "one", workers=1, **given)
        other = Node(folder / "two", *options, "--node", "two", workers=2, **given | people)
        with one, other:
            one.start("--port", str(port), "--admin-port", "0")
            other.start()
            assert one.admin("POST", "/applications", json={"name": "partner"}).status_code == 201
            applied = one.apply(API.format(issuer=issuer))
            assert applied.status_code == 200, applied.text
            tie = one.admin("POST", "/subscriptions", json={"application": "partner", "api": "books"})
            assert tie.status_code < 300, tie.text
            made = Two(one, other, issuer, "")
            made.secret = made.create("machine", roles=["clerk"])["secret"]
            made.create("signer", jwks={"keys": [jwk(ec_key()), jwk(rsa_key(), "k2")]})
            until(lambda: len(ask("GET", f"{one.url}/oauth2/jwks").json()["keys"]) == 1, "there is a key")
            yield made


def free_port() -> int:
    """The issuer's URL is a setting, so that its port must be known before."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_admin_rest_of_another_node_finds_the_issuer_by_discovery(two: Two) -> None:
    """As any provider of people would be found."""
    headers = {"Authorization": f"Bearer {two.token()}"}
    url = f"{two.two.admin_url}/admin/v1"
    assert ask("GET", f"{url}/versions", headers=headers).status_code == 200
    assert ask("POST", f"{url}/signing-keys/rotate", headers=headers).status_code == 403
    assert ask("GET", f"{two.one.admin_url}/admin/v1/versions", headers=headers).status_code == 401


def claims_of(token: str) -> Any:
    return jwt.decode(token, options={"verify_signature": False})


def test_authlibs_client_gets_a_token_that_opens_the_api_on_both_nodes(two: Two) -> None:
    session = OAuth2Session("machine", two.secret, scope="read")
    known = session.get(f"{two.issuer}/.well-known/oauth-authorization-server", withhold_token=True).json()
    token = session.fetch_token(known["token_endpoint"], grant_type="client_credentials")
    assert (token["token_type"], token["scope"]) == ("Bearer", "read")
    assert token["expires_in"] == 900
    keys = jwt.PyJWKSet.from_dict(requests.get(known["jwks_uri"], timeout=10).json())
    key = next(each for each in keys.keys if each.key_id == jwt.get_unverified_header(token["access_token"])["kid"])
    claims = jwt.decode(token["access_token"], key.key, ["ES256"], audience="books", issuer=two.issuer)
    assert jwt.get_unverified_header(token["access_token"])["typ"] == "at+jwt"
    assert (claims["sub"], claims["client_id"], claims["roles"]) == ("machine", "machine", ["clerk"])
    until(lambda: two.greet(token["access_token"], two.two) == 200, "the other node knows client and key")
    assert two.greet(token["access_token"]) == 200


def test_authlibs_client_proves_itself_by_a_signed_assertion(two: Two) -> None:
    """Its client signs by RSA; ES256 is shown below."""
    session = OAuth2Session(
        "signer", rsa_key().private_bytes(*_pem()).decode(), token_endpoint_auth_method="private_key_jwt"
    )
    url = f"{two.issuer}/oauth2/token"
    session.register_client_auth_method(PrivateKeyJWT(url, headers={"alg": "RS256", "kid": "k2"}))
    token = session.fetch_token(url, grant_type="client_credentials")
    assert two.greet(token["access_token"]) == 200


def _pem() -> Any:
    from cryptography.hazmat.primitives import serialization as form

    return form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()


def assertion(two: Two, algorithm: str = "ES256", key: Any = None, kid: str = "k1", **more: Any) -> str:
    now = int(time.time())
    claims = {"iss": "signer", "sub": "signer", "aud": f"{two.issuer}/oauth2/token", "exp": now + 60, "jti": f"{more}"}
    claims = {name: value for name, value in (claims | more).items() if value is not None}
    return jwt.encode(claims, key if key is not None else ec_key(), algorithm, {"kid": kid})


def show(two: Two, text: str, node: Node | None = None, **more: str) -> httpx2.Response:
    form = {"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "client_assertion": text}
    data = {"grant_type": "client_credentials"} | form | more
    return ask("POST", f"{(node or two.one).url}/oauth2/token", data=data)


@pytest.mark.parametrize(
    "wrong",
    [
        {"aud": "https://elsewhere.example"}, {"iss": "machine"}, {"sub": "machine"}, {"exp": 1}, {"exp": None},
        {"exp": int(time.time()) + 86_400}, {"jti": None}, {"jti": ""}, {"sub": "nobody", "iss": "nobody"},
        {"aud": None}, {"nbf": int(time.time()) + 3600},
        {"kid": "k9"}, {"algorithm": "none", "key": ""}, {"algorithm": "HS256", "key": "x" * 40},
        {"algorithm": "RS256", "key": rsa_key(5)},
    ],
)  # fmt: skip
def test_a_wrong_assertion_gets_nothing_and_reads_as_any_other(two: Two, wrong: dict[str, Any]) -> None:
    answer = show(two, assertion(two, **wrong))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer.json() == two.ask(auth=("nobody", "x")).json()


def test_an_assertion_is_used_once_on_whatever_node(two: Two) -> None:
    text = assertion(two, jti="once")
    assert show(two, text).status_code == 200
    for node in (two.one, two.two):
        assert show(two, text, node).json()["error"] == "invalid_client"


def test_a_wrong_secret_and_an_unknown_client_read_the_same(two: Two) -> None:
    answers = [two.ask(auth=pair) for pair in (("machine", "wrong"), ("nobody", "wrong"), ("mächine", "é"))]
    assert {(each.status_code, each.text) for each in answers} == {(401, answers[0].text)}
    assert answers[0].headers["WWW-Authenticate"].startswith("Basic ")
    assert answers[0].headers["Cache-Control"] == "no-store"
    posted = two.ask(auth=None, client_id="machine", client_secret=two.secret)
    assert posted.status_code == 200


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"scope": "read admin"}, "invalid_scope"),
        ({"resource": "urn:penstock:api:other"}, "invalid_target"),
        ({"resource": "https://elsewhere.example"}, "invalid_target"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"client_secret": "also"}, "invalid_request"),
    ],
)
def test_what_a_client_may_not_have_is_refused(two: Two, form: dict[str, str], error: str) -> None:
    answer = two.ask(**form)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_a_token_is_for_the_api_that_was_asked_for(two: Two) -> None:
    token = two.token(resource="urn:penstock:api:books", scope="write")
    assert (claims_of(token)["aud"], claims_of(token)["scope"]) == (["books"], "write")


@pytest.mark.parametrize(
    "body",
    [
        b"grant_type=client_credentials&grant_type=client_credentials", b"grant_type", b"%ff=%ff", b"\xff=1",
        b"&".join(b"a%d=1" % number for number in range(40)), b"grant_type=client%0acredentials",
    ],
)  # fmt: skip
def test_a_form_is_read_strictly(two: Two, body: bytes) -> None:
    fields = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = ask("POST", f"{two.one.url}/oauth2/token", content=body, headers=fields, auth=("machine", two.secret))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_other_media_types_methods_and_large_bodies_are_refused(two: Two) -> None:
    url = f"{two.one.url}/oauth2/token"
    assert ask("POST", url, json={}, auth=("machine", two.secret)).json()["error"] == "invalid_request"
    assert ask("GET", url).status_code == 405
    large = ask("POST", url, data={"grant_type": "x" * 20_000})
    assert (large.status_code, large.json()["error"]) == (413, "invalid_request")


def test_a_token_is_introspected_by_its_client_alone(two: Two) -> None:
    token = two.token()
    told = two.ask("introspect", token=token).json()
    assert (told["active"], told["client_id"], told["iss"]) == (True, "machine", two.issuer)
    other = two.create("curious")["secret"]
    watcher = two.create("watcher", scopes=["penstock:introspect"])["secret"]
    until(lambda: two.ask("introspect", ("watcher", watcher), token=token).status_code == 200, "the client is known")
    assert two.ask("introspect", ("curious", other), token=token).json() == {"active": False}
    assert two.ask("introspect", ("watcher", watcher), token=token).json()["active"] is True
    assert two.ask("introspect", token=token[:-4] + "AAAA").json() == {"active": False}
    assert two.ask("introspect", ("machine", "wrong"), token=token).status_code == 401


def test_a_revoked_token_opens_nothing_on_any_node(two: Two) -> None:
    """CASES C42"""
    token, other = two.token(), two.token()
    until(lambda: two.greet(token, two.two) == 200, "the other node lets it in")
    assert two.ask("revoke", token=token).status_code == 200
    for node in (two.one, two.two):
        until(lambda node=node: two.greet(token, node) == 401, "it is refused")  # type: ignore[misc]
    assert two.greet(other) == 200
    assert two.ask("introspect", token=token).json() == {"active": False}
    assert two.ask("revoke", token="nonsense").status_code == 200


def test_who_ends_a_client_ends_its_tokens(two: Two) -> None:
    made = two.create("leaver")
    until(lambda: two.ask(auth=("leaver", made["secret"])).status_code == 200, "it is known")
    token = two.ask(auth=("leaver", made["secret"])).json()["access_token"]
    assert two.greet(token) == 200
    assert two.one.admin("DELETE", f"/credentials/{made['id']}").status_code == 200
    assert two.greet(token) == 401
    until(lambda: two.greet(token, two.two) == 401, "the other node refuses it")
    assert two.ask(auth=("leaver", made["secret"])).status_code == 401


def test_a_suspended_application_gets_no_tokens_and_loses_those_it_has(two: Two) -> None:
    token = two.token()
    for status, asked, opened in (("suspended", 401, 401), ("active", 200, 200)):
        answer = two.one.admin("PATCH", "/applications/partner", json={"status": status})
        assert answer.status_code == 200, answer.text
        assert (two.ask().status_code, two.greet(token)) == (asked, opened)


def test_guessing_is_bounded_per_client_and_address(two: Two) -> None:
    statuses = [two.ask(auth=("guessed", "x")).status_code for _ in range(40)]
    assert statuses.count(429) >= 8
    assert two.ask().status_code == 200


def test_a_rotated_key_is_published_before_it_signs_and_a_retired_one_ends(two: Two) -> None:
    token = two.token()
    made = two.one.admin("POST", "/signing-keys/rotate")
    assert made.status_code == 201, made.text
    assert two.one.admin("POST", "/signing-keys/rotate").status_code == 409
    until(lambda: len(ask("GET", f"{two.two.url}/oauth2/jwks").json()["keys"]) == 2, "both are published")
    header = jwt.get_unverified_header(two.token())
    assert header["kid"] == jwt.get_unverified_header(token)["kid"] != made.json()["kid"]
    listed = {each["kid"]: each["state"] for each in two.one.admin("GET", "/signing-keys").json()["items"]}
    assert listed == {header["kid"]: "signing", made.json()["kid"]: "waiting"}
    retired = two.one.admin("POST", f"/signing-keys/{header['kid']}/retire").json()
    assert two.greet(token) == 401
    until(lambda: two.greet(two.token(), two.two) == 200, "the successor signs")
    assert jwt.get_unverified_header(two.token())["kid"] == retired["successor"]


def test_no_private_key_and_no_secret_is_on_disk_or_in_an_answer(two: Two) -> None:
    shown = json.dumps([two.one.admin("GET", path).json() for path in ("/signing-keys", "/audit")])
    kept = (two.one.data / "snapshot" / "directory.bin").read_text()
    logs = two.one.log.read_text() + Path(two.one.data / "log" / "access.log").read_text()
    for text in (shown, kept, logs):
        assert "PRIVATE" not in text
        assert two.secret not in text
    public = ask("GET", f"{two.one.url}/oauth2/jwks").json()["keys"]
    assert all("d" not in each for each in public)
