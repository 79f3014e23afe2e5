"""A node on a Valkey of the test's own, which may be stopped, frozen, filled and told anything; and what is expected of
the node meanwhile and afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import redis

from tests.server.nodes import Node, rules, until
from tests.servers import Server, _answers

TOKEN: Final = "pt_of-everybody-on-this-store"


class Store:
    """A Valkey with an append-only file, which a test may stop and start again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "s"
        self.url = f"unix://{self._path}"
        self.start()

    def start(self, *more: str) -> None:
        self.launch(*more)
        with redis.Redis.from_url(self.url) as client:
            until(lambda: _answers(client), "the store answers")

    def launch(self, *more: str) -> None:
        """Starts it, and does not wait."""
        options = ("--port", "0", "--unixsocket", str(self._path), "--appendonly", "yes", "--appendfsync", "always")
        self._server = Server(self._folder, *options, *more)

    def stop(self) -> None:
        self._server.kill()

    def freeze(self) -> None:
        self._server.freeze()

    def thaw(self) -> None:
        self._server.thaw()

    def tell(self, *command: str) -> None:
        """A command of an operator."""
        with redis.Redis.from_url(self.url) as client:
            client.execute_command(*command)


def serve(folder: Path, store: Store, workers: int = 1, **settings: str) -> Node:
    given = {
        "PENSTOCK_KEY_SECRET": "one-secret-for-the-whole-cluster",
        "PENSTOCK_ADMIN_TOKEN": TOKEN,
        **settings,
    }
    return Node(folder, "--processes", "node_processes", "--store", store.url, **given)


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with tempfile.TemporaryDirectory(prefix="ps-") as folder:
        found = Store(Path(folder))
        yield found
        found.stop()


@pytest.fixture(scope="module")
def shop(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, str]]:
    with serve(tmp_path_factory.mktemp("shop"), store, workers=2) as node:
        node.start()
        node.publish_shop()
        key = node.key()
        until(lambda: {node.get("/shop/v1/who", key).status_code for _ in range(8)} == {200}, "workers know the key")
        yield node, key


def statuses(node: Node, key: str, path: str, count: int = 6) -> set[int]:
    return {node.get(f"/shop/v1/{path}", key).status_code for _ in range(count)}


def goes_on_without_its_store(node: Node, key: str) -> None:
    until(lambda: statuses(node, key, "closed") == {503}, "the closed limit refuses")
    assert statuses(node, key, "who") == {200}
    assert statuses(node, key, "open") == {200}
    assert statuses(node, "pk_unknown", "who") == {401}
    assert node.get("/elsewhere").status_code == 404
    refused = node.admin("GET", "/versions")
    assert refused.status_code == 503
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["status"] == 503
    assert node.order(key, 1).status_code == 503
    health = node.health()
    assert health["ready"] is True
    assert health["store"] != "up"


def is_whole_again(node: Node, key: str, mark: str) -> None:
    until(lambda: node.admin("GET", "/versions").status_code == 200, "the admin REST answers")
    until(lambda: statuses(node, key, "closed") == {200}, "the limits count again")
    until(lambda: node.apply(rules(mark)).status_code == 200, "it publishes")
    assert {node.get("/shop/v1/who", key).headers["x-mark"] for _ in range(6)} == {mark}
    fresh = node.key(f"after-{mark}")
    until(lambda: statuses(node, fresh, "who") == {200}, "new keys open the shop")
    assert node.order(key, 2).status_code == 202
