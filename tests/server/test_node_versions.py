"""Versions on a running node: pins, canaries and callers, over sockets and by the command line's own REST."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.nodes import Node, until

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
