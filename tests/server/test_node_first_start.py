"""What a node does and says on a store that has nothing yet, and on one that has something."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.nodes import SHOP, TOPIC, Node, rules, until
from tests.servers import running_valkey

GIVEN = {
    "PENSTOCK_KEY_SECRET": "one-secret-for-the-whole-cluster",
    "PENSTOCK_ADMIN_TOKEN": "pt_the-first-of-all-tokens",
}
VIEWER = "pt_the-one-that-may-only-look"


@pytest.fixture
def store() -> Iterator[str]:
    with running_valkey() as url:
        yield url


def documents(folder: Path, mark: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "shop.yaml").write_text("\n---\n".join((SHOP, rules(mark), TOPIC)))
    return folder


def node(folder: Path, store: str, *options: str, **given: str) -> Node:
    return Node(folder, "--processes", "node_processes", "--store", store, *options, workers=1, **GIVEN, **given)


def test_a_node_is_not_ready_until_something_is_live(tmp_path: Path, store: str) -> None:
    with node(tmp_path, store).start() as started:
        assert started.get("/-/live").status_code == 200
        assert started.get("/-/ready").status_code == 503
        started.publish_shop()
        assert started.get("/-/ready").status_code == 200


def test_a_node_that_may_be_empty_is_ready_at_once(tmp_path: Path, store: str) -> None:
    with node(tmp_path, store, PENSTOCK_READY_WHEN_EMPTY="true").start() as started:
        assert started.get("/-/ready").status_code == 200


def test_a_node_that_has_heard_of_no_store_is_not_ready_even_if_it_may_be_empty(tmp_path: Path) -> None:
    nowhere = f"unix://{tmp_path}/nowhere"
    with node(tmp_path, nowhere, PENSTOCK_READY_WHEN_EMPTY="true") as started:
        started.launch()
        started.url = started.line(r"gateway +(\S+)")
        assert started.get("/-/ready").status_code == 503


def test_the_first_node_publishes_and_a_later_one_leaves_what_is_live(tmp_path: Path, store: str) -> None:
    first = ("--manifests", str(documents(tmp_path / "documents", "one")))
    given = {"PENSTOCK_APPLY_AT_START": "first"}
    with node(tmp_path / "a", store, *first, "--node", "a", **given).start() as a:
        assert a.get("/-/ready").status_code == 200
        a.apply(rules("by hand"))
        with node(tmp_path / "b", store, *first, "--node", "b", **given).start() as b:
            assert b.get("/-/ready").status_code == 200
            assert b.get("/shop/v1/who", b.key()).headers["x-mark"] == "by hand"


def test_two_first_nodes_at_once_both_become_ready(tmp_path: Path, store: str) -> None:
    first = ("--manifests", str(documents(tmp_path / "documents", "one")))
    given = {"PENSTOCK_APPLY_AT_START": "first"}
    a = node(tmp_path / "a", store, *first, "--node", "a", **given)
    b = node(tmp_path / "b", store, *first, "--node", "b", **given)
    with a, b:
        a.launch()
        b.launch()
        a.connect()
        b.connect()
        for each in (a, b):
            until(lambda each=each: each.get("/-/ready").status_code == 200, "it serves")  # type: ignore[misc]
        assert len(a.admin("GET", "/nodes").json()["items"]) == 2


def test_a_viewers_token_may_read_the_metrics_and_change_nothing(tmp_path: Path, store: str) -> None:
    with node(tmp_path, store, PENSTOCK_VIEWER_TOKEN=VIEWER).start() as started:
        shown = {"Authorization": f"Bearer {VIEWER}"}
        assert started.admin("GET", "/metrics", headers=shown).status_code == 200
        assert (
            started.admin("POST", "/tokens", headers=shown, json={"name": "x", "roles": ["viewer"]}).status_code == 403
        )
        assert VIEWER not in started.log.read_text()


def test_a_viewers_token_does_not_stand_for_the_first_one(tmp_path: Path) -> None:
    with Node(tmp_path, workers=1, PENSTOCK_VIEWER_TOKEN=VIEWER).start() as started:
        assert started.token.startswith("pt_")
        assert started.admin("GET", "/tokens").status_code == 200
