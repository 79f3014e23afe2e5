"""What `penstock doctor` finds in how the store's servers are set: release, eviction, memory, what they keep on disk,
and how fast they answer. Pure over what the admin REST tells."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from gateway.cli.finding import Found, State

Server = Mapping[str, Any]
Seen = tuple[State, str, str]  # with the way out

LEAST: Final = {"redis": (7, 0), "valkey": (8, 0)}
FULL: Final = 0.8  # of its memory
SLOW: Final = 0.005  # seconds: a request with a limit waits for one such answer


def examine_servers(servers: Sequence[Server] | None) -> Iterator[Found]:
    """None: they were not asked."""
    if servers is None:
        return
    if not servers:
        way = "Right for a try; else name a server with --store, or leave that out for a store in the data folder."
        yield Found("store", "warn", "in memory: everything ends with this process", way)
    for number, each in enumerate(servers, 1):
        what = "store" if len(servers) == 1 else f"store, server {number} of {len(servers)}"
        wrong = [seen for check in CHECKS for seen in check(each)]
        yield from (Found(what, *seen) for seen in wrong or [("ok", _well(each), "")])


def _well(each: Server) -> str:
    kept = "append-only file" if each["appendonly"] else "snapshots"
    return f"{each['server']} {each['version']}, {each['eviction']}, {kept}, answers in {_ms(each)}"


def _ms(each: Server) -> str:
    return f"{float(each['ping_seconds']) * 1000:.1f} ms"


def _release(each: Server) -> Iterator[Seen]:
    name, version = str(each["server"]), str(each["version"])
    found = re.match(r"(\d+)\.(\d+)", version)
    least = LEAST.get(name)
    if found is None or least is None:
        yield "warn", f"an unknown server: {name} {version}", "Use Redis 7.0 or Valkey 8.0, or newer."
    elif (int(found[1]), int(found[2])) < least:
        yield "bad", f"{name} {version} is too old", f"Upgrade it to {least[0]}.{least[1]} or newer."


def _eviction(each: Server) -> Iterator[Seen]:
    policy = str(each["eviction"])
    if policy in ("noeviction", ""):
        return
    way = "CONFIG SET maxmemory-policy noeviction, and the same in its configuration: a full store must refuse."
    if not each["maxmemory"]:
        yield "warn", f"it would evict by {policy} if it had a maxmemory", way
    elif policy.startswith("allkeys"):
        yield "bad", f"it forgets policies, keys and revisions when memory ends ({policy})", way
    else:
        yield "bad", f"it forgets counts, heartbeats and usage when memory ends ({policy})", way


def _memory(each: Server) -> Iterator[Seen]:
    used, most = int(each["used"]), int(each["maxmemory"])
    if most and used > FULL * most:
        seen = f"{used / 1e6:.0f} of {most / 1e6:.0f} MB are used"
        yield "warn", seen, "Raise its maxmemory: a full store refuses every change."


def _kept(each: Server) -> Iterator[Seen]:
    if failed := each["failed"]:
        yield "bad", f"its {failed} could not be written", "See its log and the room on its disk."
    appending = "CONFIG SET appendonly yes, and the same in its configuration."
    if each["appendonly"]:
        if each["appendfsync"] == "no":
            way = "CONFIG SET appendfsync everysec: a machine that loses power loses a second then, not half a minute."
            yield "warn", "it leaves to the system when its append-only file is synced", way
    elif each["save"] == "":
        yield "bad", "it keeps nothing on disk: a restart of it loses all keys, policies and revisions", appending
    elif each["save"] is None:
        seen = "it has no append-only file, and does not tell whether it takes snapshots"
        yield "warn", seen, f"Have both looked at by who runs it. {appending}"
    else:
        yield "warn", "it keeps snapshots alone: a crash loses what was written since the last", appending


def _speed(each: Server) -> Iterator[Seen]:
    if float(each["ping_seconds"]) > SLOW:
        way = "Bring it nearer to the nodes, or give it more processor: limits wait for it on each request."
        yield "warn", f"it answers in {_ms(each)}", way


CHECKS: Final[tuple[Callable[[Server], Iterator[Seen]], ...]] = (_release, _eviction, _memory, _kept, _speed)
