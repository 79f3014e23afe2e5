"""What is never written down: keys, tokens, secrets (CASES C39, C41); and the audit, which always is (CASES M72)."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
import redis.asyncio

from gateway.core.clock import SystemClock
from gateway.core.errors import StoreUnavailable
from gateway.store.redis_store import RedisStore
from gateway.store.store import APPLICATIONS
from tests.admin.admin_harness import HIDDEN, PLAN, Bench, bench, problem, shop


def with_secret() -> str:
    step = "  - {id: to, use: headers, with: {request: {set: {X-Key: 'secret:erp'}}}}\n"
    return shop().replace("rest:\n", f"{step}rest:\n")


async def use(node: Bench) -> list[str]:
    """Makes everything that is secret; the texts that must be nowhere."""
    assert (await node.apply(with_secret(), PLAN)).status_code == 200
    await node.send("POST", "/applications", json={"name": "partner"})
    key = (await node.send("POST", "/keys", json={"application": "partner", "api": "shop", "plan": "gold"})).json()
    next_ = (await node.send("POST", f"/keys/{key['id']}/rotate", json={"overlap": 60})).json()
    token = (await node.send("POST", "/tokens", json={"name": "ci", "roles": ["viewer"]})).json()
    secrets = [made["secret"] for type in ("basic", "hmac", "oauth-client") for made in await rotated(node, type)]
    await node.send("GET", "/versions", "pt_not-a-token-but-nearly")
    await node.send("DELETE", f"/keys/{key['id']}")
    planted = [
        key["key"],
        next_["key"],
        *secrets,
        token["token"],
        *node.tokens.values(),
        HIDDEN,
        "pt_not-a-token-but-nearly",
    ]
    assert all(len(text) > 20 for text in planted)
    return planted


async def rotated(node: Bench, type: str) -> list[dict[str, str]]:
    """A credential as it was made, and with its next secret."""
    made = await node.send("POST", "/credentials", json={"type": type, "application": "partner", "api": "shop"})
    assert made.status_code == 201, made.text
    again = await node.send("POST", f"/credentials/{made.json()['id']}/rotate", json={"overlap": 60})
    return [made.json(), again.json()]


async def test_neither_store_nor_audit_holds_what_is_secret(node: Bench) -> None:
    """CASES C39, M72."""
    planted = await use(node)
    dump = await node.dump()
    assert "partner" in dump
    assert [text for text in planted if text in dump] == []


async def test_a_dump_of_a_real_store_holds_no_secret(tmp_path: Path, valkey: str, prefix: str) -> None:
    """CASES C39: every value of every key."""
    store = RedisStore(valkey, prefix, SystemClock())
    async with bench(tmp_path, store, SystemClock()) as node:
        planted = await use(node)
    await store.close()
    found: list[bytes] = []
    async with redis.asyncio.Redis.from_url(valkey) as client:
        async for key in client.scan_iter(match=f"*{prefix}*"):
            found += [key, repr(await _value(client, key)).encode()]
    dump = b"\n".join(found).decode()
    assert "partner" in dump
    assert [text for text in planted if text in dump] == []


async def test_no_command_that_a_real_store_is_sent_holds_a_secret(tmp_path: Path, valkey: str, prefix: str) -> None:
    """CASES C39: what MONITOR shows, of credentials of every type."""
    reader, writer = await asyncio.open_unix_connection(valkey.removeprefix("unix://"), limit=2**24)
    writer.write(b"MONITOR\r\n")
    assert await reader.readline() == b"+OK\r\n"
    store = RedisStore(valkey, prefix, SystemClock())
    async with bench(tmp_path, store, SystemClock()) as node:
        planted = await use(node)
        await node.send("GET", "/keys?expiring=30d")
    await store.close()
    async with redis.asyncio.Redis.from_url(valkey) as client:
        await client.echo("the end of it")  # type: ignore[misc]
    shown = []
    while b"the end of it" not in (line := await reader.readline()):
        shown.append(line.decode())
    writer.close()
    await writer.wait_closed()
    seen = "".join(shown)
    assert "oauth-client" in seen
    assert [text for text in planted if text in seen] == []


async def _value(client: redis.asyncio.Redis, key: bytes) -> object:
    match await client.type(key):
        case b"hash":
            return await client.hgetall(key)  # type: ignore[misc]
        case b"stream":
            return await client.xrange(key)
        case b"string":
            return await client.get(key)
        case b"zset":
            return await client.zrange(key, 0, -1)
        case b"set":
            return await client.smembers(key)  # type: ignore[misc]
        case b"list":
            return await client.lrange(key, 0, -1)  # type: ignore[misc]
        case b"none":  # a heartbeat that has ended meanwhile
            return None
    raise AssertionError(key)


async def test_no_answer_but_the_first_shows_a_credential(node: Bench) -> None:
    planted = await use(node)
    paths = ["/keys", "/tokens", "/audit", "/snapshot", "/versions", "/versions/shop@v1", "/revisions", "/nodes"]
    paths += ["/health", "/credentials", "/applications", "/subscriptions", "/plans"]
    paths.append("/revisions/" + (await node.send("GET", "/versions/shop@v1")).json()["revision"])
    for path in paths:
        answer = await node.send("GET", path)
        assert answer.status_code == 200, path
        assert [text for text in planted if text in answer.text] == [], path
        assert '"digest":' not in answer.text or path.startswith(("/revisions", "/snapshot")), path


async def test_no_log_line_and_no_refusal_shows_a_credential(node: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """CASES C41."""
    with caplog.at_level(logging.DEBUG):
        planted = await use(node)
        node.store.away = True
        refused = await node.send("GET", "/versions")
        node.store.away = False
    assert [text for text in planted if text in caplog.text + refused.text] == []


async def test_the_audit_tells_who_changed_what(node: Bench) -> None:
    await use(node)
    entries = (await node.send("GET", "/audit?limit=1000")).json()["items"]
    told = [(entry["actor"], entry["action"]) for entry in reversed(entries) if entry["actor"] != "test"]
    assert told == [
        ("admin", "apply"),
        ("admin", "application.create"),
        ("admin", "key.create"),
        ("admin", "key.rotate"),
        ("admin", "token.create"),
        *[("admin", "credential.create"), ("admin", "credential.rotate")] * 3,
        ("admin", "key.revoke"),
    ]


async def test_the_audit_entry_is_written_with_the_change_or_neither_is(node: Bench) -> None:
    """CASES M72: a commit that fails leaves neither, and the client is not told that it was done."""

    async def lost(_writes: object) -> None:
        raise StoreUnavailable("The connection broke.")

    before = len(await node.store.audit(1000))
    node.store.before_commit = lost
    problem(await node.send("POST", "/applications", json={"name": "partner"}), 503)
    node.store.before_commit = None
    assert await node.store.get(APPLICATIONS, "partner") is None
    assert len(await node.store.audit(1000)) == before
    assert (await node.send("POST", "/applications", json={"name": "partner"})).status_code == 201
    assert len(await node.store.audit(1000)) == before + 1
