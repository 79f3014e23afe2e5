"""A running shop, shared by the tests that leave it as they found it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.server.nodes import Node


@dataclass
class Shop:
    """A node with two workers on an embedded store, the shop published, and a key for it."""

    node: Node
    key: str


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with Node(tmp_path_factory.mktemp("shop"), "--processes", "node_processes") as node:
        node.start()
        node.publish_shop()
        yield Shop(node, node.key())
