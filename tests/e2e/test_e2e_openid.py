"""The kinds that take tokens, on a started node, against an OpenID provider that somebody else wrote: `oidc-provider`,
installed by `.ci/run` (or `npm ci` in tests/e2e/openid)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx2
import pytest

from tests.e2e.gateway_client import Node
from tests.e2e.openid_provider import INSTALLED, PAGE, SECRET, Provider, browse, started

pytestmark = INSTALLED

NAME = f"people-{os.getpid()}"  # of its own: test processes share the node, each has a provider
DOCUMENTS = """kind: ApiComponent
name: NAME
version: v1
base_path: /NAME
documents: public
values: {lab_url: {required: true}}
backends: {lab: {http: {targets: ["${lab_url}"]}}}
rest:
  GET /signed/**:
    relay: lab
    policies:
      - {use: jwt, with: {issuer: ISSUER, audience: shop, type: at+jwt, forward: {client_id: X-Client, scope: X-Scope}}}
  GET /opaque/**:
    relay: lab
    policies:
      - use: introspection
        with: {issuer: ISSUER, client: {id: gateway, secret: SECRET}, cache: 0s, forward: {client_id: X-Client}}
  GET /**:
    relay: lab
    policies:
      - use: openid-connect
        with:
          issuer: ISSUER
          audience: shop
          opaque: userinfo
          client: {id: gateway, secret: SECRET}
          forward: {sub: X-User}
          login: {callback: "URL/NAME/signed-in", logout: /NAME/sign-out, scopes: [openid, profile]}
"""


@pytest.fixture(scope="module")
def provider(node: Node) -> Iterator[Provider]:
    machine = {"client_id": "machine", "grant_types": ["client_credentials"], "redirect_uris": [], "response_types": []}
    gateway = {"client_id": "gateway", "redirect_uris": [f"{node.url}/{NAME}/signed-in"]}
    with started([each | {"client_secret": SECRET} for each in (machine, gateway)]) as made:
        yield made


@pytest.fixture(scope="module")
def people(node: Node, provider: Provider) -> Node:
    filled = (
        DOCUMENTS.replace("ISSUER", f'"{provider.issuer}"')
        .replace("SECRET", SECRET)
        .replace("URL", node.url)
        .replace("NAME", NAME)
    )
    node.apply(filled)
    return node


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def fields(answer: httpx2.Response) -> dict[str, str]:
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["fields"])


def test_a_signed_access_token_of_the_provider_is_verified(people: Node, provider: Provider) -> None:
    token = provider.token(resource=provider.resource)
    for _ in range(2):
        told = fields(people.call("GET", f"/{NAME}/signed/x", headers=bearer(token)))
        assert (told["x-client"], told["x-scope"]) == ("machine", "read")
        assert "authorization" not in told
    head, payload, signature = token.split(".")
    changed = f"{head}.{payload}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"
    for wrong in (changed, f"{head}.{payload}.", provider.token()):
        refused = people.call("GET", f"/{NAME}/signed/x", headers=bearer(wrong))
        assert (refused.status_code, refused.json()["code"]) == (401, "invalid_token")


def test_an_opaque_token_of_the_provider_holds_until_it_is_revoked(people: Node, provider: Provider) -> None:
    """CASES C42"""
    token = provider.token()
    assert fields(people.call("GET", f"/{NAME}/opaque/x", headers=bearer(token)))["x-client"] == "machine"
    httpx2.post(f"{provider.issuer}/token/revocation", data={"token": token}, auth=("machine", SECRET))
    assert people.call("GET", f"/{NAME}/opaque/x", headers=bearer(token)).status_code == 401
    assert people.call("GET", f"/{NAME}/opaque/x", headers=bearer("made-up")).status_code == 401


def test_a_person_signs_in_at_the_provider_and_out_again(people: Node, provider: Provider) -> None:
    with httpx2.Client(timeout=20) as browser:
        page = browse(browser, f"{people.url}/{NAME}/page?x=1", "ann")
        told = fields(page)
        assert page.json()["path"].endswith("/page?x=1")
        assert told["x-user"] == "ann"
        assert "penstock" not in told.get("cookie", "")
        away = browser.get(f"{people.url}/{NAME}/sign-out", headers=PAGE)
        assert (away.status_code, urlsplit(away.headers["Location"]).path) == (303, "/session/end")
        again = browser.get(f"{people.url}/{NAME}/page", headers=PAGE)
        assert again.headers["Location"].startswith(f"{provider.issuer}/auth?")


def test_two_people_have_their_own_sessions(people: Node) -> None:
    """CASES C43"""
    with httpx2.Client(timeout=20) as one, httpx2.Client(timeout=20) as two:
        for browser, name in ((one, "ann"), (two, "bob")):
            assert fields(browse(browser, f"{people.url}/{NAME}/page", name))["x-user"] == name
        for browser, name in ((one, "ann"), (two, "bob"), (one, "ann")):
            assert fields(browser.get(f"{people.url}/{NAME}/page", headers=PAGE))["x-user"] == name


def test_a_code_of_another_browser_signs_nobody_in(people: Node) -> None:
    with httpx2.Client(timeout=20) as attacker, httpx2.Client(timeout=20) as victim:
        callback = ""
        answer = attacker.get(f"{people.url}/{NAME}/page", headers=PAGE)
        url = answer.headers["Location"]
        while not callback:
            answer = attacker.get(url, headers=PAGE)
            if found := re.search(r'name="prompt" value="(\w+)"', answer.text):
                form = {"prompt": found[1], "login": "eve", "password": "any"}
                answer = attacker.post(url, data=form, headers=PAGE)
            url = urljoin(url, answer.headers["Location"])
            callback = url if f"/{NAME}/signed-in" in url else ""
        assert parse_qs(urlsplit(callback).query)["code"]
        assert victim.get(callback, headers=PAGE).status_code == 401


def test_a_script_without_a_session_is_refused_and_learns_how(people: Node) -> None:
    answer: Any = people.call("GET", f"/{NAME}/page", headers={"Accept": "application/json"})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
