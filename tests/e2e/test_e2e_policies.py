"""Policies mean the same in every protocol, and change while the gateway serves."""

from __future__ import annotations

from collections.abc import Callable

import httpx2
import pytest
from lxml import etree

from tests.e2e.gateway_client import Node

NS = "urn:example:lab:v1"
ENVELOPES = {
    "soap11": ("http://schemas.xmlsoap.org/soap/envelope/", "text/xml"),
    "soap12": ("http://www.w3.org/2003/05/soap-envelope", "application/soap+xml"),
}


def ping(node: Node, protocol: str, key: str | None, **headers: str) -> httpx2.Response:
    """The same operation through a protocol."""
    if protocol in ENVELOPES:
        namespace, media = ENVELOPES[protocol]
        body = f'<e:Envelope xmlns:e="{namespace}"><e:Body><ping xmlns="{NS}"/></e:Body></e:Envelope>'
        return node.call("POST", "/lab/soap", key, content=body, headers={"Content-Type": media, **headers})
    path = "/lab/ping" if protocol == "rest" else "/lab/odata/ping()"
    return node.call("GET", path, key, headers=headers)


def code_of(answer: httpx2.Response, protocol: str) -> str:
    """The error's code, in the form of the protocol: a problem, a fault, an OData error."""
    if protocol == "rest":
        assert answer.headers["Content-Type"] == "application/problem+json"
        return str(answer.json()["code"])
    if protocol == "odata":
        assert answer.headers["Content-Type"].startswith("application/json")
        return str(answer.json()["error"]["code"])
    namespace, media = ENVELOPES[protocol]
    assert answer.headers["Content-Type"].startswith(media)
    fault = etree.fromstring(answer.content).find(f".//{{{namespace}}}Fault")
    assert fault is not None
    return str(fault.xpath("string(.//*[local-name()='problem']/*[local-name()='code'])"))


protocols = pytest.mark.parametrize("protocol", ["rest", "soap11", "soap12", "odata"])


@pytest.fixture(scope="module")
def lab(node: Node) -> str:
    return node.key("lab")


@protocols
def test_a_key_opens_the_operation_in_every_protocol(node: Node, lab: str, protocol: str) -> None:
    answer = ping(node, protocol, lab)
    assert answer.status_code == 200
    assert b"pong" in answer.content


@protocols
@pytest.mark.parametrize("wrong", [None, "pk_" + "x" * 43])
def test_without_a_valid_key_every_protocol_answers_401_in_its_own_form(
    node: Node, protocol: str, wrong: str | None
) -> None:
    """PROTOCOLS T: one error table."""
    answer = ping(node, protocol, wrong)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'ApiKey realm="lab"'
    assert code_of(answer, protocol) == "unauthorized"


@protocols
def test_a_key_of_another_api_is_refused(node: Node, key: str, protocol: str) -> None:
    assert ping(node, protocol, key).status_code == 403


@protocols
def test_a_used_up_plan_answers_429_with_retry_after_in_every_protocol(node: Node, protocol: str) -> None:
    """PROTOCOLS R6; the three calls count whatever protocol they come by."""
    own = node.key("lab", "three")
    mixed = [ping(node, each, own).status_code for each in ("rest", "soap11", "odata")]
    assert mixed == [200, 200, 200]
    answer = ping(node, protocol, own)
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= 3600
    assert answer.headers["RateLimit-Policy"] == '"three";q=3;w=3600'
    assert code_of(answer, protocol) == "too_many_requests"


def test_a_plan_counts_over_workers(node: Node) -> None:
    """Each connection may be another worker's: together they let three through, no more."""
    own = node.key("lab", "three")
    found = []
    for _ in range(8):
        with httpx2.Client() as client:
            found.append(client.get(f"{node.url}/lab/ping", headers={"X-API-KEY": own}).status_code)
    assert sorted(found) == [200] * 3 + [429] * 5


@protocols
def test_cors_fields_reach_a_401(node: Node, protocol: str) -> None:
    """DESIGN 4: the afters of the steps that passed run on refusals, too."""
    answer = ping(node, protocol, None, Origin="https://lab.example")
    assert answer.status_code == 401
    assert answer.headers["Access-Control-Allow-Origin"] == "https://lab.example"
    assert answer.headers["Access-Control-Expose-Headers"] == "RateLimit"
    assert "Origin" in answer.headers["Vary"]
    other = ping(node, protocol, None, Origin="https://evil.example")
    assert "Access-Control-Allow-Origin" not in other.headers


@pytest.mark.parametrize(
    ("path", "method"),
    [("/lab/ping", "GET"), ("/lab/soap", "POST"), ("/lab/odata/ping()", "GET"), ("/lab/bytes/x", "PUT")],
)
def test_a_preflight_is_answered_before_authentication(node: Node, path: str, method: str) -> None:
    """DESIGN 5; Fetch standard, section 3.2.2."""
    asks = {
        "Origin": "https://lab.example",
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "x-api-key, content-type",
    }
    answer = node.call("OPTIONS", path, headers=asks)
    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == "https://lab.example"
    assert method in answer.headers["Access-Control-Allow-Methods"]
    refused = node.call("OPTIONS", path, headers={**asks, "Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in refused.headers


def mark(policy: str, field: str, value: str) -> str:
    step = f"{{id: mark, use: headers, with: {{response: {{set: {{{field}: {value}}}}}}}}}"
    return f"{{kind: Policy, name: {policy}, steps: [{step}]}}"


@pytest.fixture
def restored(node: Node) -> object:
    """Both policies as they were."""
    yield
    for policy, field in (("lab-follows", "X-Follows"), ("lab-pinned", "X-Pinned")):
        node.apply(mark(policy, field, "first"))


@pytest.mark.usefixtures("restored")
def test_a_changed_policy_holds_in_every_protocol_once_it_was_applied(node: Node, lab: str) -> None:
    """What follows a policy's name has its newest revision at once; what pins one keeps it."""
    every = ("rest", "soap11", "soap12", "odata")
    fields: Callable[[httpx2.Response], tuple[str, str]] = lambda answer: (  # noqa: E731
        answer.headers["X-Follows"],
        answer.headers["X-Pinned"],
    )
    assert [fields(ping(node, each, lab)) for each in every] == [("first", "first")] * 4
    node.apply(mark("lab-follows", "X-Follows", "second"))
    node.apply(mark("lab-pinned", "X-Pinned", "second"))
    assert [fields(ping(node, each, lab)) for each in every] == [("second", "first")] * 4


@pytest.mark.usefixtures("restored")
def test_a_policy_that_cannot_be_built_changes_nothing(node: Node, lab: str) -> None:
    document = "{kind: Policy, name: lab-follows, steps: [{use: headers, with: {nonsense: 1}}]}"
    headers = {"Authorization": f"Bearer {node.token}", "Content-Type": "application/yaml"}
    answer = node.client.post(f"{node.admin}/admin/v1/apply", content=document, headers=headers)
    assert 400 <= answer.status_code < 500
    assert "nonsense" in answer.text
    assert ping(node, "rest", lab).headers["X-Follows"] == "first"


def test_a_revoked_key_is_refused(node: Node) -> None:
    own = node.key("lab")
    assert ping(node, "rest", own).status_code == 200
    items = node.administer("GET", "/keys").json()["items"]
    newest = max(items, key=lambda item: item["created"])
    node.administer("DELETE", f"/keys/{newest['id']}")
    assert ping(node, "rest", own).status_code == 401
