"""Ten minutes without the store, on two nodes, one of which is restarted meanwhile (CASES, promises: store outage).

The same without the minutes is an ordinary test: what a node needs of its disk is the same.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from tests import soak
from tests.server.nodes import Node, until
from tests.server.own_store import TOKEN, Store, goes_on_without_its_store, is_whole_again, serve, statuses

MINUTES: Final = 10
PAUSE: Final = 0.2  # seconds between two rounds of requests: the promise is of what is answered, not of how many


@dataclass
class Pair:
    store: Store
    nodes: list[Node]
    key: str
    wrong: list[str] = field(default_factory=list)
    found: Counter[tuple[str, int]] = field(default_factory=Counter)
    slowest: float = 0.0

    def ask(self) -> None:
        """Each node once what is open, what is closed, and a key that nobody knows."""
        for node in self.nodes:
            for path, key, wanted in (("who", self.key, 200), ("open", self.key, 200), ("closed", self.key, 503)):
                self._one(node, path, key, wanted)
            self._one(node, "who", "pk_unknown", 401)

    def _one(self, node: Node, path: str, key: str, wanted: int) -> None:
        began = time.monotonic()
        status = node.get(f"/shop/v1/{path}", key).status_code
        self.slowest = max(self.slowest, time.monotonic() - began)
        self.found[path, status] += 1
        if status != wanted:
            self.wrong.append(f"{node.folder.name} {path}: {status} instead of {wanted}")

    def restart(self, node: Node) -> None:
        """Without its store: the workers answer before the control process has its own token back."""
        assert node.stop() == 0
        node.launch()
        node.url, node.admin_url, node.token = node.line(r"gateway +(\S+)"), node.line(r"admin +(\S+)"), TOKEN
        until(lambda: statuses(node, self.key, "closed") == {503}, "the closed limit refuses")


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ps-"))
        store = Store(Path(folder))
        stack.callback(store.stop)
        nodes = [
            stack.enter_context(serve(tmp_path / name, store, 1, PENSTOCK_NODE=name, PENSTOCK_MAX_LAG="0"))
            for name in ("one", "two")
        ]
        for node in nodes:
            node.start()
        nodes[0].publish_shop("kept")
        key = nodes[0].key()
        for node in nodes:
            until(lambda node=node: statuses(node, key, "who") == {200}, "the key opens the shop")  # type: ignore[misc]
        yield Pair(store, nodes, key)


def without_its_store(pair: Pair, seconds: float) -> None:
    pair.store.stop()
    for node in pair.nodes:
        goes_on_without_its_store(node, pair.key)
    began = time.monotonic()
    for part in (0.5, 1.0):
        pair.ask()
        while time.monotonic() < began + seconds * part:
            time.sleep(PAUSE)
            pair.ask()
        if part < 1:
            pair.restart(pair.nodes[1])
    for node in pair.nodes:
        goes_on_without_its_store(node, pair.key)
        assert node.get("/shop/v1/who", pair.key).headers["x-mark"] == "kept"
    pair.store.start()
    for node, mark in zip(pair.nodes, ("first", "second"), strict=True):
        is_whole_again(node, pair.key, mark)
    assert pair.wrong == []


def test_two_nodes_go_on_without_their_store_and_one_is_restarted_meanwhile(pair: Pair) -> None:
    without_its_store(pair, 0)


@pytest.mark.soak
def test_ten_minutes_without_the_store_leave_every_request_answered_on_two_nodes_one_restarted(
    pair: Pair, record: soak.Record
) -> None:
    without_its_store(pair, MINUTES * 60)
    answered = sum(pair.found.values())
    record("minutes, requests, answered otherwise than promised", f"{MINUTES}, {answered}, {len(pair.wrong)}")
    told = ", ".join(f"{path} {status}: {count}" for (path, status), count in sorted(pair.found.items()))
    record("replies", told)
    record("slowest reply, each on a connection of its own", f"{pair.slowest * 1000:.0f} ms")
