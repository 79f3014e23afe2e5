"""Versions of the shop by path and by header, and the life cycle of the old one on the wire."""

from __future__ import annotations

import pytest

from tests.e2e.gateway_client import Node

# 2026-09-01T00:00Z and 2027-09-01T00:00Z, as the shipped manifest says
DEPRECATION, SUNSET = "@1788220800", "Wed, 01 Sep 2027 00:00:00 GMT"


@pytest.mark.parametrize(
    ("path", "headers"),
    [("/shop/v1/orders/7", {}), ("/shop/orders/7", {"Api-Version": "v1"})],
    ids=["by path", "by header"],
)
def test_a_deprecated_version_says_so_on_every_reply(node: Node, key: str, path: str, headers: dict[str, str]) -> None:
    """PROTOCOLS R4, R5: RFC 9745 Deprecation, RFC 8594 Sunset, Link to the successor."""
    answer = node.call("GET", path, key, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["Deprecation"] == DEPRECATION
    assert answer.headers["Sunset"] == SUNSET
    assert answer.headers["Link"] == '</shop/v2>; rel="successor-version"'


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_refusal_of_a_deprecated_version_says_it_too(node: Node, method: str) -> None:
    answer = node.call(method, "/shop/v1/orders/7" if method == "GET" else "/shop/v1/soap")
    assert answer.status_code == 401
    assert answer.headers["Deprecation"] == DEPRECATION


def test_the_current_version_announces_nothing(node: Node, key: str) -> None:
    answer = node.call("GET", "/shop/v2/orders/7", key)
    assert not {"Deprecation", "Sunset", "Link"} & set(map(str.title, answer.headers))


def test_without_a_version_the_default_one_answers(node: Node, key: str) -> None:
    """v2 is the default; only it has the turnover."""
    assert node.call("GET", "/shop/turnover", key).status_code == 200
    assert node.call("GET", "/shop/turnover", key, headers={"Api-Version": "v1"}).status_code == 404


@pytest.mark.parametrize(
    ("path", "headers"),
    [("/shop/v9/orders/7", {}), ("/shop/orders/7", {"Api-Version": "v9"})],
    ids=["by path", "by header"],
)
def test_a_version_that_is_not_there_is_refused_with_those_that_are(
    node: Node, key: str, path: str, headers: dict[str, str]
) -> None:
    """PROTOCOLS R4."""
    answer = node.call("GET", path, key, headers=headers)
    assert answer.status_code == 404
    problem = answer.json()
    assert problem["code"] == "unknown_version"
    assert problem["versions"] == ["v1", "v2"]
    assert "v1, v2" in problem["detail"]


def test_two_version_headers_are_refused(node: Node, key: str) -> None:
    """Two contradicting choices are no choice."""
    pairs = [("X-API-KEY", key), ("Api-Version", "v1"), ("Api-Version", "v2")]
    assert node.client.get(f"{node.url}/shop/orders/7", headers=pairs).status_code == 404


def test_an_operation_that_only_the_new_version_has_is_missing_in_the_old_one(node: Node, key: str) -> None:
    old, new = (node.call("GET", f"/shop/{version}/turnover", key) for version in ("v1", "v2"))
    assert (old.status_code, new.status_code) == (404, 200)


def test_a_wrong_method_tells_those_that_are_offered(node: Node, key: str) -> None:
    """PROTOCOLS R1."""
    answer = node.call("DELETE", "/shop/v2/orders/7", key)
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"
    options = node.call("OPTIONS", "/shop/v2/orders/7")
    assert (options.status_code, options.headers["Allow"]) == (204, "GET, HEAD, OPTIONS")


def test_head_answers_like_get_without_a_body(node: Node, key: str) -> None:
    """PROTOCOLS R1."""
    get, head = (node.call(method, "/shop/v2/orders/7", key) for method in ("GET", "HEAD"))
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers["Content-Length"] == get.headers["Content-Length"]
