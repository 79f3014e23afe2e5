"""A connection to each worker of a node, kept open: so that a test can ask every one of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx2

from tests.server.nodes import Node, client, until

WHO = "/shop/v1/who"  # answers the worker's process id


class Door:
    """One worker, asked as its connection's requests are."""

    def __init__(self, node: Node, client: httpx2.Client) -> None:
        self._node = node
        self._client = client

    def get(self, path: str = WHO, **headers: str) -> httpx2.Response:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._client.get(f"{self._node.url}{path}", headers=fields)

    def status(self, key: str) -> int:
        return self.get(x_api_key=key).status_code


@contextmanager
def doors(key: str, *nodes: Node) -> Iterator[list[Door]]:
    """To every worker of these nodes; `key` opens the shop on each of them."""
    with ExitStack() as stack:
        found: dict[int, Door] = {}
        for node in nodes:
            wanted = len(found) + node.workers
            until(lambda node=node: node.get(WHO, key).status_code == 200, "the node knows the key")  # type: ignore[misc]
            while len(found) < wanted:
                door = Door(node, stack.enter_context(client()))
                answer = door.get(x_api_key=key)
                if answer.status_code == 200:
                    found.setdefault(answer.json(), door)
        yield list(found.values())
