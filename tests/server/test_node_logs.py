"""The logs of a real node: on standard output for a container, as JSON, the audit apart; and usage over its workers."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.server.nodes import Node, ask, gone, serving_the_shop, until


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("logs")
    given = {
        "PENSTOCK_ACCESS_LOG": "-",
        "PENSTOCK_AUDIT_LOG": str(folder / "audit" / "audit.log"),
        "PENSTOCK_LOG_FORMAT": "json",
        "PENSTOCK_LOG_LEVEL": "info",
    }
    with serving_the_shop(folder, "--trusted-proxies", "127.0.0.0/8", **given) as node:
        yield node


@pytest.fixture(scope="module")
def key(node: Node) -> str:
    return node.key()


def access(node: Node, path: str) -> dict[str, Any]:
    """The line of the request with that path, once it is there."""

    def line() -> str:
        return next((each for each in list(node.said) if f'"path":"{path}"' in each), "")

    found: dict[str, Any] = orjson.loads(until(line, f"{path} is logged"))
    return found


def test_the_access_log_goes_to_standard_output(node: Node, key: str) -> None:
    assert node.get("/shop/v1/limited?key=hush", key).status_code == 400
    assert access(node, "/shop/v1/limited")["code"] == "invalid_input"
    assert node.get("/shop/v1/who", key).status_code == 200
    line = access(node, "/shop/v1/who")
    assert (line["status"], line["application"], line["protocol"], line["scheme"]) == (200, "partner", "1.1", "http")
    assert not (node.data / "log" / "access.log").exists()
    assert not [each for each in node.said if "hush" in each or key in each]


def test_a_trusted_proxys_request_id_is_the_id(node: Node) -> None:
    answer = ask("GET", f"{node.url}/shop/v1/nowhere", headers={"X-Request-Id": "from-the-edge-7"})
    assert answer.json()["id"] == "from-the-edge-7"
    assert access(node, "/shop/v1/nowhere")["id"] == "from-the-edge-7"


def test_the_nodes_own_log_is_json(node: Node) -> None:
    lines = [orjson.loads(line) for line in node.log.read_text().splitlines()]
    assert {"control"} <= {line["process"] for line in lines}
    assert all({"time", "level", "logger", "message"} <= set(line) for line in lines)


def test_the_audit_is_written_apart_and_its_file_opened_anew(node: Node, tmp_path: Path) -> None:
    path = node.folder / "audit" / "audit.log"

    def entries() -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    assert node.admin("POST", "/applications", json={"name": "audited"}).status_code == 201
    last = until(lambda: [each for each in entries() if each.get("subject") == "audited"], "it is written")[-1]
    stored = node.admin("GET", "/audit?limit=1").json()["items"][0]
    assert (last["sequence"], last["actor"], last["node"]) == (stored["sequence"], stored["actor"], last["node"])
    path.rename(tmp_path / "old.log")
    node.process.send_signal(signal.SIGHUP)
    until(path.exists, "the file is opened anew")
    assert node.admin("POST", "/applications", json={"name": "audited-later"}).status_code == 201
    until(lambda: [each for each in entries() if each.get("subject") == "audited-later"], "it goes there")


def test_a_restore_is_in_the_audits_file_too(node: Node) -> None:
    backup = node.admin("GET", "/backup").content
    media = {"Content-Type": "application/vnd.penstock.backup"}
    told = node.admin("POST", "/restore?replace=true", content=backup, headers=media)
    assert told.status_code == 200, told.text
    path = node.folder / "audit" / "audit.log"
    lines = [line for line in path.read_text().splitlines() if '"action":"restore"' in line]
    assert [orjson.loads(line)["sequence"] for line in lines] == [told.json()["sequence"]]


def used(node: Node, **query: str) -> dict[str, int]:
    """Calls by application."""
    items = node.admin("GET", "/usage", params={"component": "shop", **query}).json()["items"]
    return {each["application"]: each["calls"] for each in items}


def test_usage_is_exact_over_the_workers_and_a_worker_that_ends(node: Node) -> None:
    key = node.key("counted")
    for _ in range(25):
        assert node.get("/shop/v1/who", key).status_code == 200
    assert ask("GET", f"{node.url}/shop/v1/gone-wrong", headers={"X-API-KEY": key}).status_code == 404
    until(lambda: used(node).get("counted", 0) >= 25, "all calls are counted")
    pids = node.workers_pids()
    os.kill(pids[0], signal.SIGTERM)  # it drains, and tells what it counted
    gone(pids[0])
    until(lambda: node.health().get("workers") == 2, "another takes its place")
    for _ in range(5):
        assert node.get("/shop/v1/who", key).status_code == 200
    until(lambda: used(node).get("counted", 0) >= 30, "these are counted, too")
    assert used(node)["counted"] == 30
    assert used(node, each="hour", application="counted")["counted"] <= 30
    row = node.admin("GET", "/usage", params={"application": "counted"}).json()["items"][0]
    assert (row["version"], row["failed"]) == ("v1", 0)
    assert row["sent"] > 30
