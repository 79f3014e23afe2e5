"""Upstreams of a running node: the egress list at publish and at connect time (CASES M73), circuits in its metrics."""

from __future__ import annotations

from pathlib import Path

from tests.server.conftest import Shop
from tests.server.nodes import Node, until

RELAYING = """
kind: ApiComponent
name: leading
version: v1
base_path: /leading
backends: {{up: {{http: {{targets: ["{}"], circuit: {{failures: 1}}}}}}}}
policies: [{{use: anonymous}}]
rest: {{"ANY /up/**": {{relay: up}}}}
"""


def test_m73_a_forbidden_address_is_refused_when_it_is_published(shop: Shop) -> None:
    node = shop.node
    before = node.health()["snapshot"]
    for target in ("http://169.254.169.254", "http://[::ffff:169.254.169.254]", "http://2852039166"):
        refused = node.apply(RELAYING.format(target))
        assert refused.status_code in {400, 422}, refused.text
        assert "/backends/up/http/targets/0" in refused.text
    own = node.apply(RELAYING.format(f"unix:{node.data.resolve()}/store.sock"))
    assert "one of the node's own sockets" in own.text
    assert node.health()["snapshot"] == before


def test_m73_a_name_that_leads_to_a_forbidden_address_is_502_and_only_the_log_says_why(tmp_path: Path) -> None:
    with Node(tmp_path, workers=1, PENSTOCK_EGRESS="!127.0.0.0/8,!::1") as node:
        node.start()
        refused = node.apply(RELAYING.format("http://127.0.0.1:9"))
        assert refused.status_code in {400, 422}
        assert "the egress list forbids 127.0.0.1" in refused.text
        assert node.apply(RELAYING.format("http://localhost:9")).status_code == 200
        answer = node.get("/leading/up/")
        assert (answer.status_code, answer.json()["detail"]) == (502, "The upstream cannot be reached.")
        assert node.logged("the egress list forbids")


def test_a_node_with_a_wrong_egress_list_does_not_start(tmp_path: Path) -> None:
    with Node(tmp_path, "--egress", "10.0.0.1/8") as node:
        node.launch()
        assert node.ended() != 0
    assert "10.0.0.0" in node.log.read_text() or "10.0.0.1/8" in node.log.read_text()


def test_an_open_circuit_is_told_by_metrics(shop: Shop) -> None:
    node = shop.node
    assert node.apply(RELAYING.format("http://127.0.0.1:9")).status_code == 200
    try:
        statuses = [node.get("/leading/up/").status_code for _ in range(12)]
        assert set(statuses) == {502, 503}
        wanted = 'penstock_upstream_circuit{component="leading",version="v1",backend="up",target="127.0.0.1:9",worker='
        text = until(
            lambda: (found := node.admin("GET", "/metrics").text).count("} 2\n") and wanted in found and found,
            "the circuit is told",
        )
        assert "penstock_upstream_opened_total{" in text
        assert text.count("# TYPE penstock_upstream_circuit gauge") == 1
    finally:
        assert node.admin("DELETE", "/versions/leading@v1").status_code in {200, 204}
