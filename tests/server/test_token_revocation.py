"""Access tokens of the own issuer that are revoked: all workers of two nodes refuse them, and what lasts ends."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests import soak
from tests.server.nodes import Node, ask, client, until
from tests.server.streaming_upstream import streaming_upstream
from tests.server.test_token_endpoint import free_port
from tests.servers import running_valkey

ROUNDS = 30
WITHIN = 1.0  # seconds
API = """kind: ApiComponent
name: books
version: v1
base_path: /books
backends: {{up: {{http: {{targets: ["{url}"], timeout: 60s}}}}}}
operations: {{who: {{python: who}}}}
policies: [{{use: jwt, with: {{issuer: "{issuer}", audience: books, type: at+jwt, subscription: required}}}}]
rest: {{GET /who: who, ANY /live/**: {{relay: up, path: "/**"}}}}
"""


@dataclass
class Cluster:
    """Two nodes of two workers each. Each of `doors` is a connection to another one of the four."""

    nodes: tuple[Node, Node]
    secret: str
    doors: list[tuple[httpx2.Client, str]]

    def token(self) -> str:
        form = {"grant_type": "client_credentials"}
        answer = ask("POST", f"{self.nodes[0].url}/oauth2/token", data=form, auth=("machine", self.secret))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def revoke(self, token: str) -> None:
        form = {"token": token}
        answer = ask("POST", f"{self.nodes[0].url}/oauth2/revoke", data=form, auth=("machine", self.secret))
        assert answer.status_code == 200, answer.text

    def statuses(self, token: str) -> list[int]:
        fields = {"Authorization": f"Bearer {token}"}
        return [door.get(f"{url}/books/who", headers=fields).status_code for door, url in self.doors]

    def chat(self, node: Node, token: str) -> ClientConnection:
        fields = {"Authorization": f"Bearer {token}"}
        return connect(f"ws{node.url[4:]}/books/live/ws", additional_headers=fields, compression=None)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder: Path = tmp_path_factory.mktemp("revocation")
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    given = {"PENSTOCK_KEY_SECRET": "the cluster's own secret, long enough", "PENSTOCK_ISSUER": issuer}
    given["PENSTOCK_ADMIN_TOKEN"] = "pt_for-both-nodes-of-the-cluster"
    with running_valkey() as store, streaming_upstream() as upstream, ExitStack() as stack:
        options = ("--store", store, "--processes", "node_processes")
        one = stack.enter_context(Node(folder / "one", *options, "--node", "one", workers=2, **given))
        two = stack.enter_context(Node(folder / "two", *options, "--node", "two", workers=2, **given))
        one.start("--port", str(port), "--admin-port", "0")
        two.start()
        assert one.admin("POST", "/applications", json={"name": "partner"}).status_code == 201
        applied = one.apply(API.format(url=upstream.url, issuer=issuer))
        assert applied.status_code == 200, applied.text
        one.admin("POST", "/subscriptions", json={"application": "partner", "api": "books"})
        body = {"type": "oauth-client", "application": "partner", "name": "machine"}
        secret = one.admin("POST", "/credentials", json=body).json()["secret"]
        made = Cluster((one, two), secret, [])
        until(lambda: len(ask("GET", f"{one.url}/oauth2/jwks").json()["keys"]) == 1, "there is a key")
        made.doors = doors(made, stack)
        yield made


def doors(cluster: Cluster, stack: ExitStack) -> list[tuple[httpx2.Client, str]]:
    fields = {"Authorization": f"Bearer {cluster.token()}"}
    found: dict[int, tuple[httpx2.Client, str]] = {}
    for node in cluster.nodes:
        url, wanted = node.url, len(found) + node.workers
        until(lambda url=url: ask("GET", f"{url}/books/who", headers=fields).status_code == 200, "the token opens it")  # type: ignore[misc]
        while len(found) < wanted:
            door = stack.enter_context(client())
            answer = door.get(f"{url}/books/who", headers=fields)
            if answer.status_code == 200:
                found.setdefault(answer.json(), (door, url))
    return list(found.values())


def opened(cluster: Cluster) -> str:
    """A token that opens every worker."""
    token = cluster.token()
    until(lambda: cluster.statuses(token) == [200] * 4, "every worker lets it in")
    return token


def test_a_revoked_token_is_refused_by_every_worker_of_both_nodes_and_others_are_not(cluster: Cluster) -> None:
    """CASES C42"""
    token, other = opened(cluster), opened(cluster)
    cluster.revoke(token)
    until(lambda: cluster.statuses(token) == [401] * 4, "every worker refuses it")
    assert cluster.statuses(other) == [200] * 4


@pytest.mark.parametrize("at", [0, 1])
def test_a_websocket_ends_when_the_token_that_opened_it_is_revoked(cluster: Cluster, at: int) -> None:
    """On the node that was told, and on the other one."""
    token, other = opened(cluster), opened(cluster)
    with (
        cluster.chat(cluster.nodes[at], token) as leaving,
        cluster.chat(cluster.nodes[at], other) as staying,
    ):
        for each in (leaving, staying):
            each.send("hello")
            assert each.recv(30) == "hello"
        cluster.revoke(token)
        with pytest.raises(ConnectionClosed) as ended:
            leaving.recv(30)
        assert ended.value.rcvd is not None
        assert ended.value.rcvd.code == 1008
        staying.send("still here")
        assert staying.recv(30) == "still here"


@pytest.mark.soak
def test_a_revoked_token_is_refused_everywhere_within_a_second(cluster: Cluster, record: soak.Record) -> None:
    """CASES C42: from the answer to the revocation until all four workers refuse the token."""
    took = []
    for _ in range(ROUNDS):
        token = opened(cluster)
        cluster.revoke(token)
        began = time.perf_counter()
        until(lambda token=token: cluster.statuses(token) == [401] * 4, "every worker refuses it")  # type: ignore[misc]
        took.append(time.perf_counter() - began)
    record(
        f"until four workers refuse, of {ROUNDS}",
        f"median {statistics.median(took) * 1000:.0f} ms, longest {max(took) * 1000:.0f} ms",
    )
    assert max(took) < WITHIN
