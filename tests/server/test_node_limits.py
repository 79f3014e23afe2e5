"""PERFORMANCE, promise on limits: 100 per minute from 50 clients on 8 workers on 2 nodes admits exactly 100."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from math import ceil
from typing import Final

import pytest

from tests import soak
from tests.server.keepalive import Clients
from tests.server.nodes import Node, until
from tests.servers import running_valkey

pytestmark = pytest.mark.soak
MINUTE: Final = 60.0
SECONDS: Final = 20.0  # of hammering
LIMITED: Final = """
kind: ApiComponent
name: shop
version: v1
base_path: /shop/{version}
operations: {who: {python: who}}
policies: [{id: keys, use: api-key}]
rest:
  GET /who: who
  GET /fixed: {call: who, policies: [{id: f, use: rate-limit, with: {limit: 100/1m, algorithm: fixed}}]}
  GET /gcra: {call: who, policies: [{id: g, use: rate-limit, with: {limit: 100/1m}}]}
  GET /sliding: {call: who, policies: [{id: s, use: rate-limit, with: {limit: 100/1h, algorithm: sliding}}]}
  GET /quota: {call: who, policies: [{id: q, use: quota, with: {day: 1000000, week: 100, month: 1000000}}]}
  GET /fused:
    call: who
    policies:
      - {id: a, use: rate-limit, with: {limit: 5000/1h, algorithm: sliding}}
      - {id: b, use: quota, with: {day: 1000000, month: 100}}
      - {id: c, use: rate-limit, with: {limit: 1000000/1h}}
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    """Two nodes on one store, four workers each."""
    folder = tmp_path_factory.mktemp("pair")
    given = {"PENSTOCK_MAX_LAG": "0"}  # what else runs on this machine must not make them shed
    given |= {"PENSTOCK_KEY_SECRET": "one-secret-for-the-whole-cluster", "PENSTOCK_ADMIN_TOKEN": "pt_for-both-nodes"}
    with running_valkey() as url, ExitStack() as stack:
        options = ("--processes", "node_processes", "--store", url)
        nodes = [Node(folder / name, *options, "--node", name, workers=4, **given) for name in ("a", "b")]
        for node in nodes:
            node.launch()
            stack.enter_context(node)
        for node in nodes:
            node.connect()
        done = nodes[0].apply(LIMITED)
        assert done.status_code == 200, done.text
        yield nodes


def hammer(nodes: list[Node], path: str, enough: Callable[[], bool]) -> tuple[int, int]:
    """50 clients of one application, 25 to each node, until it is enough: how many were admitted, and refused."""
    key = nodes[0].key(f"of-{path}")
    for node in nodes:
        until(lambda node=node: knows(node, key), "every worker knows the key")  # type: ignore[misc]
    request = f"GET /shop/v1/{path} HTTP/1.1\r\nHost: shop\r\nX-API-KEY: {key}\r\n\r\n".encode()
    with ExitStack() as stack:
        clients = [stack.enter_context(Clients(node.url, {request: {200, 429}}, 25)) for node in nodes]
        while not enough():
            time.sleep(0.05)
    found: Counter[int] = Counter()
    for each in clients:
        assert each.tally.failed == []
        for (_, status), count in each.tally.statuses.items():
            found[status] += count
    return found[200], found[429]


def knows(node: Node, key: str) -> bool:
    return {node.get("/shop/v1/who", key).status_code for _ in range(20)} == {200}


def test_100_per_minute_from_50_clients_on_8_workers_on_2_nodes_admits_exactly_100(
    pair: list[Node], record: soak.Record
) -> None:
    """From before a full minute until after it: 100 in each of the two windows."""
    while not 40 < time.time() % MINUTE < 50:
        time.sleep(0.1)
    count, refused = hammer(pair, "fixed", lambda: 5 < time.time() % MINUTE < 30)
    record("admitted in two windows of a minute, refused", f"{count}, {refused}")
    assert count == 200


def test_an_even_limit_admits_its_burst_and_its_rate_and_not_one_more(pair: list[Node], record: soak.Record) -> None:
    began = time.monotonic()
    count, refused = hammer(pair, "gcra", lambda: time.monotonic() > began + SECONDS)
    most = 100 + ceil((time.monotonic() - began) / 0.6)
    record("admitted at 100/1m, at most, refused", f"{count}, {most}, {refused}")
    assert 100 <= count <= most


@pytest.mark.parametrize("path", ["sliding", "quota", "fused"])
def test_100_in_a_window_from_50_clients_on_8_workers_on_2_nodes_are_exactly_100(
    pair: list[Node], record: soak.Record, path: str
) -> None:
    """The windows do not end meanwhile, unless it is midnight."""
    began = time.monotonic()
    count, refused = hammer(pair, path, lambda: time.monotonic() > began + SECONDS)
    record(f"{path}: admitted of 100, refused", f"{count}, {refused}")
    assert count == 100
    assert refused > 1000
