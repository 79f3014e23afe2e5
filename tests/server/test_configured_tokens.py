"""Admin tokens of nodes' configuration: made at start, ended when another took their place. On a real store."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.consumers.tokens import create_token, find_token, list_tokens, revoke_token, token_id
from gateway.core.clock import ManualClock
from gateway.core.secrets import KeyHasher, Secret
from gateway.core.settings import Settings
from gateway.server.configured_tokens import GONE, ConfiguredTokens
from gateway.store.connect import open_store
from gateway.store.store import Store
from tests.server.nodes import Node, until

HASHER = KeyHasher(Secret("the cluster's secret"))
OLD, NEW, OTHER = "pt_the-old-token-of-all", "pt_the-new-token-of-all", "pt_another-token-of-all"


def id_of(token: str) -> str:
    return token_id(HASHER.digest(token.encode()))


class Nodes:
    """Of one store: each is what its tokens are, and a heartbeat."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = ManualClock()
        self.running: dict[str, ConfiguredTokens] = {}

    async def start(self, name: str, admin: str | None, viewer: str | None = None, gone: float = GONE) -> str | None:
        given = {"admin_token": admin, "viewer_token": viewer}
        settings = Settings(**{setting: Secret(token) for setting, token in given.items() if token is not None})
        tokens = ConfiguredTokens(settings, name, self.store, HASHER, self.clock, gone)
        made = await tokens.make()
        self.running[name] = tokens
        await self.store.beat(name, tokens.told(), 60)
        return made

    async def stop(self, name: str) -> None:
        del self.running[name]
        await self.store.beat(name, {}, 0.001)
        while name in await self.store.nodes():
            pass

    async def look(self, after: float = 0.0) -> None:
        self.clock.advance(after)
        for each in self.running.values():
            await each.look()

    async def holds(self, *tokens: str) -> list[bool]:
        return [await find_token(self.store, HASHER, self.clock, each) is not None for each in tokens]

    async def audited(self, action: str) -> list[dict[str, Any]]:
        return [entry for _, _, entry in await self.store.audited(0, 1000) if entry["action"] == action]


@pytest.fixture
async def nodes(valkey: str, prefix: str) -> AsyncIterator[Nodes]:
    store = open_store(valkey, prefix=prefix)
    yield Nodes(store)
    await store.close()


async def test_a_replaced_token_ends_when_no_node_has_had_it_for_a_while(nodes: Nodes) -> None:
    await nodes.start("a", OLD)
    await nodes.start("b", OLD)
    await nodes.start("a", NEW)
    await nodes.look(GONE)
    await nodes.look(GONE)
    assert await nodes.holds(OLD, NEW) == [True, True], "node b has it"
    await nodes.start("b", NEW)
    await nodes.look()
    await nodes.look(GONE - 1)
    assert await nodes.holds(OLD, NEW) == [True, True]
    await nodes.look(1)
    assert await nodes.holds(OLD, NEW) == [False, True]


async def test_the_audit_tells_once_which_token_took_the_place(nodes: Nodes) -> None:
    await nodes.start("a", OLD)
    for name in ("a", "b"):
        await nodes.start(name, NEW)
    for _ in range(3):
        await nodes.look(GONE)
    (entry,) = await nodes.audited("token.revoke")
    wanted = {"actor": "serve", "subject": id_of(OLD), "setting": "admin_token", "replaced_by": id_of(NEW)}
    assert {key: entry[key] for key in wanted} == wanted


async def test_nodes_with_different_tokens_leave_each_others_alone(nodes: Nodes) -> None:
    await nodes.start("a", OLD)
    await nodes.start("b", OTHER)
    for _ in range(5):
        await nodes.look(GONE)
    assert await nodes.holds(OLD, OTHER) == [True, True]


async def test_a_node_that_comes_back_in_time_finds_its_token(nodes: Nodes) -> None:
    await nodes.start("a", OLD)
    await nodes.start("b", OTHER)
    await nodes.stop("b")
    await nodes.look()
    await nodes.look(GONE - 1)
    await nodes.start("b", OTHER)
    await nodes.look(GONE)
    assert await nodes.holds(OLD, OTHER) == [True, True]


async def test_a_node_that_comes_back_with_an_ended_token_is_told_and_ends_no_other(
    nodes: Nodes, caplog: pytest.LogCaptureFixture
) -> None:
    await nodes.start("a", OLD)
    await nodes.start("b", OTHER)
    await nodes.stop("b")
    await nodes.look()
    await nodes.look(GONE)
    assert await nodes.holds(OLD, OTHER) == [True, False]
    with caplog.at_level(logging.WARNING):
        assert await nodes.start("b", OTHER) == OTHER
    assert f"the token {id_of(OTHER)}, which has ended" in caplog.text
    assert OTHER not in caplog.text
    await nodes.stop("a")
    await nodes.look()
    await nodes.look(GONE)
    assert await nodes.holds(OLD, OTHER) == [True, False]


async def test_nothing_ends_while_a_node_does_not_tell_what_it_was_given(nodes: Nodes) -> None:
    """One that starts, or of an earlier release."""
    await nodes.start("a", OLD)
    await nodes.start("a", NEW)
    await nodes.store.beat("b", {"version": "0.0.1"}, 60)
    await nodes.look(GONE)
    await nodes.look(GONE)
    assert await nodes.holds(OLD, NEW) == [True, True]


async def test_without_a_configured_token_none_is_ended(nodes: Nodes) -> None:
    await nodes.start("a", OLD)
    assert await nodes.start("a", None) is None
    await nodes.look(GONE)
    await nodes.look(GONE)
    assert await nodes.holds(OLD) == [True]


async def test_what_somebody_made_or_a_node_made_up_stays(nodes: Nodes) -> None:
    made_up = await nodes.start("a", None)
    assert made_up is not None
    _, own = await create_token(nodes.store, HASHER, nodes.clock, name="first", roles=["admin"], actor="me")
    await nodes.start("a", OLD)
    await nodes.start("a", NEW)
    await nodes.look()
    await nodes.look(GONE)
    assert await nodes.holds(made_up, own, OLD, NEW) == [True, True, False, True]


async def test_somebodys_own_token_that_is_configured_is_not_ended_with_the_configuration(nodes: Nodes) -> None:
    given = {"name": "pipeline", "roles": ["publisher"], "credential": OTHER, "actor": "me"}
    await create_token(nodes.store, HASHER, nodes.clock, **given)
    await nodes.start("a", OTHER)
    await nodes.start("a", NEW)
    await nodes.look()
    await nodes.look(GONE)
    assert await nodes.holds(OTHER, NEW) == [True, True]


async def test_the_token_of_an_earlier_release_is_known_for_the_configurations_when_it_is_given_again(
    nodes: Nodes,
) -> None:
    given = {"name": "first", "roles": ["admin"], "credential": OLD, "actor": "serve"}
    await create_token(nodes.store, HASHER, nodes.clock, **given)
    await nodes.start("a", OLD)
    await nodes.start("a", OLD)
    (entry,) = await nodes.audited("token.configure")
    assert (entry["subject"], entry["setting"]) == (id_of(OLD), "admin_token")
    await nodes.start("a", NEW)
    await nodes.look()
    await nodes.look(GONE)
    assert await nodes.holds(OLD, NEW) == [False, True]


async def test_a_configured_token_that_was_revoked_ends_no_other(nodes: Nodes) -> None:
    await nodes.start("a", OLD)
    await nodes.start("b", NEW)
    await revoke_token(nodes.store, nodes.clock, id_of(NEW), actor="me")
    await nodes.stop("a")
    await nodes.look()
    await nodes.look(GONE)
    assert await nodes.holds(OLD, NEW) == [True, False]


async def test_the_token_that_may_only_look_is_replaced_by_itself(nodes: Nodes) -> None:
    await nodes.start("a", OLD, OTHER)
    await nodes.start("a", OLD, "pt_another-that-looks")
    await nodes.look()
    await nodes.look(GONE)
    assert await nodes.holds(OLD, OTHER, "pt_another-that-looks") == [True, False, True]
    told = {each["id"]: each.get("setting") async for each in list_tokens(nodes.store)}
    assert told[id_of(OTHER)] == "viewer_token"


async def test_a_node_with_a_store_of_its_own_ends_the_old_one_at_its_start(nodes: Nodes) -> None:
    await nodes.start("a", OLD, gone=0)
    await nodes.start("a", NEW, gone=0)
    assert await nodes.holds(OLD, NEW) == [False, True]


def test_a_node_that_starts_with_another_token_refuses_the_old_one(tmp_path: Path) -> None:
    with Node(tmp_path, workers=1, PENSTOCK_ADMIN_TOKEN=OLD) as node:
        node.start()
        assert node.admin("GET", "/tokens").status_code == 200
        assert node.stop() == 0
        node.environment["PENSTOCK_ADMIN_TOKEN"] = NEW
        node.start()
        (entry,) = node.admin("GET", "/audit?action=token.revoke").json()["items"]
        tokens = {each["id"]: each for each in node.admin("GET", "/tokens").json()["items"]}
        assert tokens[entry["subject"]]["revoked"] is not None
        assert tokens[entry["replaced_by"]]["revoked"] is None
        assert node.context()["token"] == NEW
        node.token = OLD
        until(lambda: node.admin("GET", "/tokens").status_code == 401, "the old one is refused")
        assert OLD not in node.log.read_text()
