"""The dry build: what building would refuse is found at once, with places, and nothing is opened."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.admin.changes import Resolver, change_set
from gateway.admin.state import State
from gateway.core.egress import Egress
from gateway.core.findings import Finding
from gateway.core.secrets import Secret
from gateway.live.dry import dry_build
from gateway.manifest.bundle import Table
from gateway.manifest.loading import load_text
from gateway.server.kinds import BACKEND_KINDS, POLICY_KINDS

API = """\
kind: ApiComponent
name: shop
version: v1
base_path: /shop/{version}
types:
  Pair: {type: object, properties: {left: {type: string}, any: {}}, required: [left], additionalProperties: false}
backends:
  erp: {http: {targets: ["http://127.0.0.1:9"]}}
operations:
  greet: {effect: safe, input: {who: string}, output: string, fixed: hello}
  pair:  {effect: safe, input: {who: string}, output: Pair, fixed: {left: "1"}}
  tax:
    effect: safe
    input: {country: string}
    output: string
    http: {backend: erp, request: "GET /tax/{country}", result: data}
policies:
  - {id: keys, use: api-key}
  - {id: burst, use: rate-limit, with: {limit: 10/1m, by: application}}
rest:
  GET /greet/{who}: greet
  GET /tax/{country}: tax
  ANY /erp/**: {relay: erp, path: "/api/**"}
"""


async def _no_tables(_url: str, _table: str) -> Table:
    raise AssertionError("nothing here has tables")


def findings(text: str, secrets: dict[str, Secret] | None = None, *offered: object) -> list[Finding]:
    state = State()
    resolver = Resolver({}, _no_tables, {})
    changes = asyncio.run(change_set(load_text(text, "shop.yaml"), state, resolver, now=0.0, actor="test"))
    after = state.candidate(changes.writes)
    snapshot = after.compile({}, POLICY_KINDS, BACKEND_KINDS)
    places = {bundle.name: bundle.places for bundle in after.source().bundles}
    return dry_build(snapshot, places, POLICY_KINDS, BACKEND_KINDS, secrets, *offered)


def test_what_can_be_built_has_no_findings() -> None:
    assert findings(API) == []


@pytest.mark.parametrize(
    ("right", "wrong", "place", "code"),
    [
        ("fixed: hello", "fixed: 7", "shop.yaml:10:63", "fixed-value"),
        ('fixed: {left: "1"}', "fixed: {right: 1}", "shop.yaml:11:", "fixed-value"),
        ("GET /greet/{who}: greet", "GET /greet/{who}: {call: greet, headers: {}}", "", ""),
        (
            "GET /greet/{who}: greet",
            "GET /greet: {call: greet, headers: {who: Content-Type}}",
            "shop.yaml:21:3",
            "binding",
        ),
        ("rest:\n", "odata: {operations: [pair]}\nrest:\n", "shop.yaml:20:1", "odata"),
        ("rest:\n", 'soap: {namespace: "no uri", operations: [greet]}\nrest:\n', "shop.yaml:20:1", "soap"),
    ],
)
def test_each_part_that_cannot_be_built_is_found_in_its_place(right: str, wrong: str, place: str, code: str) -> None:
    assert right in API
    found = findings(API.replace(right, wrong))
    if not code:
        assert found == []
        return
    assert {each.code for each in found} == {code}
    assert all(str(each.place).startswith(place) for each in found), [str(each) for each in found]


def test_all_of_it_is_found_at_once() -> None:
    text = API.replace("fixed: hello", "fixed: 7").replace("rest:\n", "odata: {operations: [pair]}\nrest:\n")
    assert {each.code for each in findings(text)} == {"fixed-value", "odata"}


def secret_in(part: str) -> str:
    step = "  - {id: to, use: headers, with: {request: {set: {X-Key: 'secret:erp'}}}}\n"
    return {
        "step": API.replace("rest:\n", f"{step}rest:\n"),
        "backend": API.replace("http://127.0.0.1:9", "http://secret:erp/"),
    }[part]


def test_a_secret_of_a_step_must_be_declared_where_the_node_knows_its_secrets() -> None:
    assert findings(secret_in("step")) == []
    assert findings(secret_in("step"), {"erp": Secret("x")}) == []
    [found] = findings(secret_in("step"), {})
    assert str(found.place).startswith("shop.yaml:20:")
    assert "erp" in found.message


def test_what_does_not_fit_with_its_secret_is_told_without_it() -> None:
    planted = "not fit\r\nfor a header"
    [found] = findings(secret_in("step"), {"erp": Secret(planted)})
    assert "secrets are filled in" in found.message
    assert "fit\r" not in str(found)


def test_nothing_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    def refuse(*_given: Any) -> Any:
        raise AssertionError("a dry build opens nothing")

    closed = {name: replace(kind, open=refuse) for name, kind in BACKEND_KINDS.items()}
    monkeypatch.setattr("tests.live.test_dry_build.BACKEND_KINDS", closed)
    assert findings(API) == []


def test_a_plan_is_built_too() -> None:
    step = "{id: to, use: headers, with: {request: {set: {X-K: 'secret:k'}}}}"
    [found] = findings(f"{API}---\nkind: Plan\nname: gold\npolicies:\n  - {step}\n", {})
    assert "k" in found.message
    assert "plan gold" in str(found.place)


def test_the_places_of_a_version_are_those_of_the_file_that_wrote_them(tmp_path: Path) -> None:
    second = API.replace("version: v1", "version: v2").replace("fixed: hello", "fixed: 7")
    found = findings(API + "---\n" + second)
    assert [str(each.place).split(" ")[0] for each in found] == [f"shop.yaml:{10 + API.count(chr(10)) + 1}:63"]


def test_m73_a_target_that_the_egress_list_forbids_is_told_with_its_place() -> None:
    for target, egress in (("http://169.254.169.254", Egress()), ("http://10.1.2.3", Egress.parse(["!10.0.0.0/8"]))):
        text = API.replace("http://127.0.0.1:9", target)
        [found] = findings(text, {}, egress)
        assert found.code == "egress"
        assert str(found.place).startswith("shop.yaml:8:26")
        assert "the node's setting `egress`" in found.hint.lower()
        assert findings(text) == []  # a machine that is no node


def test_certificates_that_are_wrong_are_told_with_their_place_and_without_the_key() -> None:
    tls = "tls: {ca: /nonexistent/ca.pem, certificate: 'secret:crt', key: 'secret:key'}"
    text = API.replace('["http://127.0.0.1:9"]', f'["https://erp.example"], {tls}')
    [found] = findings(text, {"crt": Secret("planted"), "key": Secret("planted")})
    assert (found.code, found.message) == ("tls", "The ca cannot be read (FileNotFoundError).")
    assert str(found.place).startswith("shop.yaml:8:")
    [found] = findings(text.replace("ca: /nonexistent/ca.pem, ", ""), {"crt": Secret("planted"), "key": Secret("x")})
    assert "planted" not in str(found)
    assert found.place.path.endswith("/tls/certificate")
    assert findings(text) == []


def test_m73_a_forbidden_target_that_is_a_secret_is_refused_without_telling_it() -> None:
    [found] = findings(secret_in("backend"), {"erp": Secret("169.254.169.254")}, Egress())
    assert found.code == "backend"
    assert "169.254" not in str(found)
    assert findings(secret_in("backend"), {"erp": Secret("erp.example")}, Egress()) == []
