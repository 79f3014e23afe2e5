"""Nodes of different releases on one store: adjacent ones serve side by side, others are refused at their start."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from gateway.store.connect import open_store
from gateway.store.store import APPLICATIONS, KEYS, Write
from tests.server import editions
from tests.server.nodes import Node, rules, until
from tests.server.own_store import TOKEN, statuses
from tests.servers import running_valkey

EARLIER: Final = "57aba45"  # the last commit before the store told the oldest form that goes
SECRET: Final = "one-secret-for-the-whole-cluster"


@contextmanager
def node(folder: Path, url: str, release: Mapping[str, str] | None = None) -> Iterator[Node]:
    given = {"PENSTOCK_KEY_SECRET": SECRET, "PENSTOCK_ADMIN_TOKEN": TOKEN, **(release or {})}
    options = ("--processes", "node_processes", "--store", url, "--node", folder.name)
    with Node(folder, *options, workers=1, **given) as made:
        yield made


def write(url: str, *writes: Write) -> None:
    async def commit() -> None:
        store = open_store(url)
        await store.commit(writes)
        await store.close()

    asyncio.run(commit())


def record(url: str, table: str, key: str) -> dict[str, Any]:
    async def get() -> dict[str, Any]:
        store = open_store(url)
        found = await store.get(table, key)
        await store.close()
        assert found is not None
        return dict(found.value)

    return asyncio.run(get())


def serve_side_by_side(older: Node, newer: Node, url: str) -> None:
    """Whatever one of them changes, the other serves."""
    older.publish_shop()
    key = older.key()
    until(lambda: statuses(newer, key, "who", 2) == {200}, "the newer release takes a key of the older one")
    for writer, reader, mark in ((newer, older, "by-newer"), (older, newer, "by-older")):
        found = writer.apply(rules(mark))
        assert found.status_code == 200, found.text
        assert sorted(found.json()["live"]) == sorted([older.folder.name, newer.folder.name])
        assert reader.get("/shop/v1/who", key).headers["x-mark"] == mark
    fresh = newer.key("fresh")
    until(lambda: statuses(older, fresh, "who", 2) == {200}, "the older release takes a key of the newer one")
    assert older.order(fresh, 1).status_code == newer.order(fresh, 2).status_code == 202
    (id,) = (each["id"] for each in newer.admin("GET", "/keys").json()["items"] if each["application"] == "fresh")
    assert newer.admin("DELETE", f"/keys/{id}").status_code < 300
    until(lambda: statuses(older, fresh, "who", 2) == {401}, "the older release refuses what the newer one revoked")
    understands_what_it_may_and_closes_the_rest(older, key, url)


def understands_what_it_may_and_closes_the_rest(older: Node, key: str, url: str) -> None:
    """A table and fields of a newer release are passed over; a key that is narrowed by what is not known opens
    nothing."""
    about = record(url, APPLICATIONS, "partner")
    write(url, Write("later-table", "x", {"y": 1}), Write(APPLICATIONS, "partner", about | {"later": {"x": 1}}))
    sequence = int(older.health().get("serving", 0))
    until(lambda: int(older.health()["serving"]) >= sequence, "it follows")
    assert statuses(older, key, "who", 2) == {200}


def test_two_adjacent_releases_serve_side_by_side_and_one_that_is_not_adjacent_starts_when_they_have_ended(
    tmp_path: Path,
) -> None:
    release = {form: editions.newer(tmp_path / f"release-{form}", form) for form in (2, 3)}
    with running_valkey() as url, node(tmp_path / "older", url) as older:
        older.start()
        with node(tmp_path / "newer", url, release[2]) as newer:
            newer.start()
            assert {each["schema"] for each in newer.admin("GET", "/nodes").json()["items"]} == {1, 2}
            serve_side_by_side(older, newer, url)
            with node(tmp_path / "newest", url, release[3]) as newest:
                newest.launch()
                assert newest.ended() == 1
                assert newest.logged("after which older could not go on"), newest.log.read_text()
            older.stop()
            with node(tmp_path / "newest", url, release[3]) as newest:
                newest.start()
                assert newest.apply(rules("newest")).json()["live"] == ["newer", "newest"]
        older.launch()
        assert older.ended() == 1
        assert older.logged("The store is in form 3, which releases that know form 2 or a later one can use")


def test_a_release_that_begins_later_names_the_one_between(tmp_path: Path) -> None:
    with running_valkey() as url:
        write(url, Write("plans", "gold", {"kind": "Plan", "name": "gold"}))
        with node(tmp_path / "newest", url, editions.newer(tmp_path / "release", 3, first=3)) as newest:
            newest.launch()
            assert newest.ended() == 1
            assert newest.logged("Start a node of the release before this one first"), newest.log.read_text()


def test_the_code_of_an_earlier_commit_serves_beside_this_one(tmp_path: Path) -> None:
    release = editions.earlier(tmp_path / "release", EARLIER)
    with running_valkey() as url, node(tmp_path / "older", url, release) as older:
        older.start()
        with node(tmp_path / "newer", url) as newer:
            newer.start()
            serve_side_by_side(older, newer, url)


def test_a_key_that_a_newer_release_narrows_opens_nothing(tmp_path: Path) -> None:
    with running_valkey() as url, node(tmp_path / "older", url) as older:
        older.start()
        older.publish_shop()
        key = older.key()
        until(lambda: statuses(older, key, "who", 2) == {200}, "the key opens the shop")
        (id,) = (each["id"] for each in older.admin("GET", "/keys").json()["items"])
        narrowed = record(url, KEYS, id) | {"networks": ["10.0.0.0/8"], "critical": ["networks"]}
        write(url, Write(KEYS, id, narrowed))
        until(lambda: statuses(older, key, "who", 2) == {401}, "a key that is not understood is refused")
