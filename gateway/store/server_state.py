"""How the servers of a store are set, as far as it matters to a gateway: release, memory and what is evicted when it
ends, what is on disk, and how fast each answers. For people who look after them; nothing is decided by it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Final

from gateway.core.errors import StoreUnavailable
from gateway.store.client import Client

PINGS: Final = 5
_ASKED: Final = ("save", "appendfsync")


@dataclass(frozen=True, slots=True)
class ServerState:
    """Of one primary. `used`, `maxmemory` in bytes (0: no limit), `ping_seconds` the median of a few. `save` and
    `appendfsync` as its configuration has them; None where this user may not read it. `failed`: what it could not write
    when it tried last, `append-only file` or `snapshot`; empty when it could."""

    server: str
    version: str
    used: int
    maxmemory: int
    eviction: str
    appendonly: bool
    appendfsync: str | None
    save: str | None
    failed: str
    ping_seconds: float


async def server_states(client: Client) -> list[ServerState]:
    """In the order of their names. StoreUnavailable."""
    told = await client.told()
    asked = {name: await _configured(client, name) for name in _ASKED}
    pings: dict[str, list[float]] = {name: [] for name in told}
    for _ in range(PINGS):
        for name in told:
            began = time.perf_counter()
            await client.ping(name)
            pings[name].append(time.perf_counter() - began)
    chosen = {name: {key: found.get(name) for key, found in asked.items()} for name in told}
    return [_state(told[name], chosen[name], median(pings[name])) for name in sorted(told)]


async def _configured(client: Client, name: str) -> Mapping[str, str]:
    """One setting, by server. Services that rent out a store often keep CONFIG to themselves."""
    try:
        return await client.configured(name)
    except StoreUnavailable:
        return {}


def _state(info: Mapping[str, str], asked: Mapping[str, str | None], ping: float) -> ServerState:
    appending = info.get("aof_enabled") == "1"
    failed = ""
    if appending and info.get("aof_last_write_status", "ok") != "ok":
        failed = "append-only file"
    elif info.get("rdb_last_bgsave_status", "ok") != "ok":
        failed = "snapshot"
    name = info.get("server_name", "redis")
    return ServerState(
        server=name,
        version=info.get(f"{name}_version", info.get("redis_version", "")),
        used=int(info.get("used_memory", 0)),
        maxmemory=int(info.get("maxmemory", 0)),
        eviction=info.get("maxmemory_policy", ""),
        appendonly=appending,
        appendfsync=asked["appendfsync"],
        save=asked["save"],
        failed=failed,
        ping_seconds=ping,
    )
