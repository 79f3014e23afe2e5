"""A node whose store stands behind Sentinels, and loses its master."""

from __future__ import annotations

from pathlib import Path

from tests.server.nodes import Node, rules, until
from tests.servers import watched_by_sentinels

PASSWORD = "p@ss:word/1"


def test_a_node_goes_on_with_the_master_that_the_sentinels_chose(tmp_path: Path) -> None:
    given = {"PENSTOCK_KEY_SECRET": "one-secret-for-the-whole-cluster", "PENSTOCK_STORE_PASSWORD": PASSWORD}
    with watched_by_sentinels(PASSWORD) as watched:
        options = ("--processes", "node_processes", "--store", watched.url)
        with Node(tmp_path, *options, workers=1, **given).start() as node:
            node.publish_shop()
            key = node.key()
            assert node.get("/shop/v1/limited", key).status_code == 200
            watched.servers[0].kill()
            until(lambda: watched.is_master(1), "another is the master")
            until(lambda: node.get("/shop/v1/limited", key).status_code == 200, "limits are decided again")
            until(lambda: node.health()["store"] == "up", "the control process has its store")
            until(lambda: node.apply(rules("new")).status_code == 200, "changes are taken again")
            assert node.get("/shop/v1/who", key).headers["x-mark"] == "new"
        assert PASSWORD not in node.log.read_text()
