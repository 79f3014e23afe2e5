"""A running shop, shared by the tests that leave it as they found it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pytest
import uvloop

from tests.server.nodes import Node, serving_the_shop


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """A module with `LOOP = "uvloop"` runs on the loop of the workers."""
    if getattr(item.getparent(pytest.Module).obj, "LOOP", "") == "uvloop":  # type: ignore[union-attr]
        return {"uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


@dataclass
class Shop:
    """A node with two workers on an embedded store, the shop published, and a key for it."""

    node: Node
    key: str


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with serving_the_shop(tmp_path_factory.mktemp("shop")) as node:
        yield Shop(node, node.key())
