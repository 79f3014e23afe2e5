"""People on the admin REST by access tokens that are no JWT: a provider on a loopback port is asked about them."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from gateway.admin.opaque import AT_ONCE, NO, YES, OpaqueTokens
from gateway.admin.people import Asker, People, Provider
from gateway.core.clock import ManualClock
from gateway.core.secrets import Secret
from gateway.policy.tokens.rules import Rules
from gateway.relay.network import Network
from gateway.relay.outside import DependencyFailed, Outside
from tests.admin.admin_harness import Bench, bench, problem, shop
from tests.policy.issuer import NOW, Service, answer, issuer
from tests.upstreams import Received

SECRET = "planted-secret-of-the-console"
TOKEN = "planted-opaque-token-of-ann"


@dataclass
class World:
    node: Bench
    provider: Service
    known: dict[str, dict[str, Any]] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)

    def knows(self, token: str = TOKEN, **more: Any) -> None:
        about = {"sub": "ann", "aud": "penstock", "exp": NOW + 600, "roles": ["ops"], "email": "ann@example.com"}
        self.known[token] = {name: value for name, value in (about | more).items() if value is not None}

    def introspect(self, received: Received) -> bytes:
        self.received.append(received)
        found = self.known.get(parse_qs(received.body.decode())["token"][0])
        return answer({"active": False} if found is None else {"active": True} | found)

    async def status(self, token: str = TOKEN) -> int:
        return (await self.node.send("GET", "/whoami", token)).status_code


@asynccontextmanager
async def world(folder: Path, asker: bool = True, offers: bool = True) -> AsyncIterator[World]:
    endpoints = {"introspection_endpoint": "/introspect"} if offers else {}
    async with bench(folder) as node, issuer(**endpoints) as provider:
        network = Network(clock=node.clock)
        outside = Outside(network)
        about = Provider(provider.url, "penstock", "roles", [("ops", "operator"), ("team", "publisher")])
        client = Asker("console", Secret(SECRET)) if asker else None
        object.__setattr__(node.admin.access, "people", People(about, outside, node.clock, None, client))
        made = World(node, provider)
        provider.answers["/introspect"] = made.introspect
        yield made
        await outside.close()
        await network.close()


async def test_the_provider_tells_who_shows_an_opaque_token_and_the_audit_names_them(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        it.knows(roles=["team"])
        assert (await it.node.apply(shop(), token=TOKEN)).status_code == 200
        (entry,) = [each for each in await it.node.store.audit() if each["action"] == "apply"]
        assert entry["actor"] == "ann@example.com"
        sent = it.received[0]
        assert sent.get(b"authorization") == b"Basic " + base64.b64encode(f"console:{SECRET}".encode())
        dump = await it.node.dump()
        assert TOKEN not in dump
        assert SECRET not in dump


@pytest.mark.parametrize(
    "more",
    [
        {"aud": None},
        {"aud": "another"},
        {"iss": "https://other.example"},
        {"exp": None},
        {"exp": NOW - 60},
        {"sub": None},
        {"token_type": "DPoP"},
        {"token_use": "refresh_token"},
        {"cnf": {"jkt": "x"}},
    ],
)
async def test_a_token_of_which_the_provider_tells_too_little_or_another_thing_is_nobodys(
    tmp_path: Path, more: dict[str, Any]
) -> None:
    async with world(tmp_path) as it:
        it.knows(**more)
        problem(await it.node.send("GET", "/versions", TOKEN), 401)


async def test_who_has_no_role_is_told_what_is_missing(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        it.knows(roles=["guests"])
        told = problem(await it.node.send("GET", "/versions", TOKEN), 403)
        assert "`guests`" in told["detail"]
        assert "admin_oidc_roles" in told["detail"]


async def test_a_yes_is_remembered_shortly_so_that_a_revocation_counts(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        it.knows()
        assert [await it.status() for _ in range(3)] == [200, 200, 200]
        assert len(it.received) == 1
        del it.known[TOKEN]
        it.node.clock.advance(YES)
        assert await it.status() == 401


async def test_a_yes_is_never_remembered_beyond_the_end_of_the_token(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        it.knows(exp=NOW + 1)
        assert await it.status() == 200
        it.node.clock.advance(YES / 2)
        assert await it.status() == 401


async def test_a_no_is_remembered_shortly(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        assert [await it.status(), await it.status()] == [401, 401]
        assert len(it.received) == 1
        it.knows()
        it.node.clock.advance(NO)
        assert await it.status() == 200


@pytest.mark.parametrize("said", [answer({}, 500), answer({}, 401), answer({"active": "yes"}), answer(b"<html>")])
async def test_while_the_provider_cannot_tell_nothing_is_decided_and_admin_tokens_go_on(
    tmp_path: Path, said: bytes
) -> None:
    async with world(tmp_path) as it:
        it.provider.answers["/introspect"] = said
        problem(await it.node.send("GET", "/versions", TOKEN), 503)
        assert (await it.node.send("GET", "/versions", "viewer")).status_code == 200


async def test_while_the_metadata_cannot_be_had_nothing_is_decided(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        it.provider.answers.clear()
        problem(await it.node.send("GET", "/versions", TOKEN), 503)


@pytest.mark.parametrize("without", ["asker", "offers"])
async def test_without_a_client_or_an_endpoint_nobody_is_asked(tmp_path: Path, without: str) -> None:
    async with world(tmp_path, **{without: False}) as it:
        it.knows()
        assert await it.status() == 401
        assert not it.received


async def test_the_provider_never_hears_of_an_admin_token_that_was_revoked_or_mistyped(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        made = (await it.node.send("POST", "/tokens", "admin", json={"name": "ci", "roles": ["viewer"]})).json()
        await it.node.send("DELETE", f"/tokens/{made['id']}", "admin", headers={"If-Match": "*"})
        assert [await it.status(made["token"]), await it.status(made["token"] + "x")] == [401, 401]
        assert not it.received


async def test_what_is_no_bearer_token_is_not_passed_on(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        assert await it.status("a&token=b") == 401
        assert await it.status("a" * 20_000) in {401, 431}
        assert not it.received


async def test_requests_with_one_token_at_a_time_ask_once_and_of_too_many_tokens_none_waits() -> None:
    clock, gate, asked = ManualClock(), asyncio.Event(), []

    async def ask(token: str) -> dict[str, Any]:
        asked.append(token)
        await gate.wait()
        return {"sub": token, "aud": "penstock", "exp": NOW + 60}

    tokens = OpaqueTokens(ask, "https://id.example", Rules("https://id.example", ("penstock",), 0.0), clock)
    waiting = [asyncio.ensure_future(tokens.claims(f"t{number % AT_ONCE}")) for number in range(2 * AT_ONCE)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    with pytest.raises(DependencyFailed):
        await tokens.claims("one-more")
    gate.set()
    found = await asyncio.gather(*waiting)
    assert len(asked) == AT_ONCE
    assert all(each is not None for each in found)
