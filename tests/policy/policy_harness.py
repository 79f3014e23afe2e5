"""A chain of built steps over the in-memory wire; its last step tells what an upstream would be told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from gateway.consumers.credentials import credential_id
from gateway.consumers.current import CurrentDirectory
from gateway.core.chain import Chain
from gateway.core.clock import ManualClock
from gateway.core.exchange import Exchange, Head, Peer, Reply
from gateway.core.ids import id_source
from gateway.core.kinds import Built, Kind, Services, Site
from gateway.core.live import LiveCell
from gateway.core.memory_wire import PEER, Answer, Body, MemoryWire
from gateway.core.secrets import KeyHasher, Secret
from gateway.frontend.rest.problems import render
from gateway.relay.network import Network
from gateway.relay.outside import Outside
from gateway.server.kinds import POLICY_KINDS
from gateway.store.memory_cells import MemoryCells
from gateway.store.memory_counters import MemoryCounters
from gateway.store.store import APPLICATIONS, CREDENTIALS, KEYS, SUBSCRIPTIONS

Fields = Sequence[tuple[bytes, bytes]]
MAX_STALE = 86_400.0


class OneChain:
    """A router that knows one chain."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain

    def find(self, head: Head) -> tuple[Chain, tuple[bytes, ...]]:
        return self.chain, ()

    def enter(self) -> None: ...

    def leave(self) -> None: ...


class Gateway:
    """The services that steps are built with, and a way to run a chain of them."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.hasher = KeyHasher(Secret("of the cluster"))
        self.directory = CurrentDirectory(MAX_STALE)
        self.directory.current.as_of = self.clock.time()
        self.counters: Any = MemoryCounters(self.clock)
        self.cells: Any = MemoryCells(self.clock)
        self.outside = Outside(Network(clock=self.clock))
        self.seen: list[Exchange] = []

    def site(self, step: str = "step", scope: str = "shop@v2") -> Site:
        named = {"directory": self.directory, "counters": self.counters, "cells": self.cells, "clock": self.clock}
        services = Services(self.hasher, self.outside, **named)
        return Site("shop", "v2", "GET /orders/{id}", scope, step, services, kinds=POLICY_KINDS)

    def build(self, kind: Kind[Any], config: Mapping[str, Any] | None = None, step: str = "step") -> Built:
        return kind.build(kind.config.model_validate(config or {}), self.site(step))

    def chain(
        self,
        *built: Built,
        last: Callable[[Exchange], Reply] | None = None,
        plans: Mapping[str, Chain] | None = None,
        known: Sequence[str] = ("gold", "trial"),
        facts: Mapping[str, str] | None = None,
    ) -> Chain:
        """The plans that the gateway knows have a variant without steps of their own, unless `plans` says otherwise."""
        steps = [each.step or _pass for each in built]
        afters = [(index, each.after) for index, each in enumerate(built) if each.after is not None]
        conceals = frozenset[bytes]().union(*(each.conceals for each in built))
        chain = Chain(
            "test",
            (*steps, last or self.upstream),
            render,
            tuple(reversed(afters)),
            conceals=conceals,
            facts=facts or {},
        )
        return replace(chain, plans={plan: replace(chain, plan=plan) for plan in known} | dict(plans or {}))

    def upstream(self, exchange: Exchange) -> Reply:
        self.seen.append(exchange)
        identity = exchange.identity
        told = {
            "identity": None if identity is None else [identity.application, identity.plan, identity.credential],
            "drop": sorted(name.decode() for name in exchange.edits.drop | exchange.chain.conceals),
            "add": ["\r\n" + line for line in exchange.edits.add.decode("latin-1").split("\r\n")[1:]],
            "query": None if exchange.edits.query is None else exchange.edits.query.decode(),
        }
        return Reply(200, [(b"server", b"upstream"), (b"access-control-allow-origin", b"upstream")], orjson.dumps(told))

    async def request(
        self,
        chain: Chain,
        headers: Fields = (),
        target: str = "/orders/1",
        method: str = "GET",
        client: str = "",
        body: Body = b"",
        peer: Peer = PEER,
    ) -> Answer:
        live = LiveCell(OneChain(chain), id_source("id"), self.clock)
        peer = Peer(client, 0, "http", client) if client else peer
        return await MemoryWire.request(live, method, target, headers, body, peer=peer)

    def add_key(self, credential: bytes, id: str = "k1", api: str = "shop", **fields: Any) -> None:
        directory = self.directory.current
        directory.put(APPLICATIONS, "partner", {})
        directory.put(SUBSCRIPTIONS, "partner/shop", {"plan": "gold"})
        directory.put(SUBSCRIPTIONS, "partner/other", {"plan": "gold"})
        record = {"digest": self.hasher.digest(credential).hex(), "application": "partner", "api": api}
        directory.put(KEYS, id, record | fields)

    def add_credential(self, type: str, name: str, *secrets: Mapping[str, Any], **fields: Any) -> str:
        """Of the same application, as `consumers.issuing` writes it; its id."""
        directory, id = self.directory.current, credential_id(type, name)
        directory.put(APPLICATIONS, "partner", {})
        directory.put(SUBSCRIPTIONS, "partner/shop", {"plan": "gold"})
        record = {"type": type, "name": name, "application": "partner", "secrets": list(secrets)}
        directory.put(CREDENTIALS, id, record | fields)
        return id


def _pass(_exchange: Exchange) -> None:
    """A step that has only an after."""


def json_of(answer: Answer) -> Any:
    return orjson.loads(answer.body)
