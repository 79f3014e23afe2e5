"""The console of a whole node, on its admin port."""

from __future__ import annotations

from tests.admin.console_browser import signed_in
from tests.e2e.gateway_client import Node


def test_the_console_of_a_started_node_shows_what_it_serves(node: Node) -> None:
    person = signed_in(node.admin, node.token)
    text = person.get("/console").text
    assert '<a href="/console/apis/shop@v2">shop@v2</a>' in text
    assert "ready" in text
    assert "GET /orders/{id}" in person.get("/console/apis/shop@v2").text
    assert person.get("/console/policies/partner-rules").status_code == 200
