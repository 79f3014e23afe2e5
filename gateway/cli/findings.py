"""What `penstock doctor` finds: one list of checks over what the admin REST tells. Pure; `doctor` asks and prints."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from gateway.cli.agreeing import examine_nodes
from gateway.cli.finding import Found
from gateway.cli.hosted import hosted
from gateway.cli.measured import examine_folder, examine_metrics
from gateway.cli.metrics_text import samples
from gateway.cli.open_endpoints import examine_open
from gateway.cli.store_servers import examine_servers

SKEW: Final = 2.0  # seconds
ENDING: Final = "14d"


@dataclass(frozen=True, slots=True)
class Told:
    """The answers: `/health`, `/nodes`, `/versions`, `/environments`, `/keys?expiring=`, `/store` (None: it was not
    asked), `/open-endpoints`, `/runtimes`, `/processes`; `skew` in seconds is how far the admin's
    clock is from here."""

    url: str
    health: Mapping[str, Any]
    nodes: Sequence[Mapping[str, Any]]
    versions: Sequence[Mapping[str, Any]]
    environments: Sequence[Mapping[str, Any]]
    ending: Sequence[Mapping[str, Any]]
    skew: float
    now: datetime
    context: Path | None = None  # the token's file on this machine
    servers: Sequence[Mapping[str, Any]] | None = None
    open_endpoints: Sequence[Mapping[str, Any]] = ()
    runtimes: Sequence[Mapping[str, Any]] = ()
    processes: Sequence[Mapping[str, Any]] = ()
    metrics: str = ""  # of the node that is asked


def examine(told: Told) -> list[Found]:
    return [found for check in CHECKS for found in check(told)]


def _ready(told: Told) -> Iterator[Found]:
    if told.health["ready"]:
        yield Found("node", "ok", f"ready, {told.health.get('workers', '?')} workers, version {told.health['version']}")
    else:
        seen = str(told.health.get("error") or "nothing is served")
        yield Found("node", "bad", f"not ready: {seen}", "See its log; publish something: penstock publish PATH.")


def _store(told: Told) -> Iterator[Found]:
    state = told.health["store"]
    if state == "up":
        yield Found("store", "ok", "answers")
    else:
        way = "Start it, or mend what --store names; until then the last known good serves and nothing can change."
        yield Found("store", "bad", str(state), way)


def _servers(told: Told) -> Iterator[Found]:
    yield from examine_servers(told.servers)


def _open(told: Told) -> Iterator[Found]:
    yield from examine_open(told.open_endpoints)


def _hosted(told: Told) -> Iterator[Found]:
    yield from hosted(told.runtimes, told.processes)


def _clock(told: Told) -> Iterator[Found]:
    seen = f"{abs(told.skew):.1f} s {'ahead of' if told.skew > 0 else 'behind'} this machine"
    if abs(told.skew) <= SKEW:
        yield Found("clock", "ok", seen)
    else:
        yield Found("clock", "warn", seen, "Let both follow a time server: limits, keys and tokens go by the clock.")


def _nodes(told: Told) -> Iterator[Found]:
    served = {str(each.get("snapshot")) for each in told.nodes}
    if len(served) > 1:
        seen = ", ".join(f"{each['name']} {each.get('snapshot')}" for each in told.nodes)
        yield Found("nodes", "bad", f"they serve different snapshots: {seen}", "Wait for a publish to end.")
    else:
        yield Found("nodes", "ok", f"{len(told.nodes)} alive, all serve {next(iter(served), 'nothing')}")
    for each in told.nodes:
        for problem in [*([each["error"]] if each.get("error") else []), *each.get("problems", ())]:
            yield Found(f"node {each['name']}", "bad", str(problem), "Mend that; the node goes on with what it had.")
    if len({each.get("version") for each in told.nodes}) > 1:
        yield Found("nodes", "warn", "they run different releases", "Finish the upgrade: two adjacent ones get along.")


def _agreeing(told: Told) -> Iterator[Found]:
    yield from examine_nodes(told.nodes, told.now.timestamp() + told.skew)


def _environments(told: Told) -> Iterator[Found]:
    for each in told.environments:
        for kind in ("values", "secrets"):
            if missing := each[kind].get("missing"):
                way = f"Add them to the Environment of {each['node']} and start it again."
                yield Found(f"environment of {each['node']}", "bad", f"{kind} missing: {', '.join(missing)}", way)
            elif unused := each[kind].get("unused"):
                seen = f"{kind} that nothing asks for: {', '.join(unused)}"
                yield Found(f"environment of {each['node']}", "warn", seen, "Remove them, or mend a misspelt name.")


def _versions(told: Told) -> Iterator[Found]:
    for each in told.versions:
        sunset = each["lifecycle"].get("sunset")
        if sunset and each["status"] != "retired" and _day(sunset) <= told.now.date():
            seen = f"its sunset passed on {sunset[:10]}"
            way = f"penstock callers {each['name']}, then penstock retire {each['name']}."
            yield Found(f"version {each['name']}", "warn", seen, way)
        if each.get("canary"):
            way = f"penstock canary {each['name']} promote, or abort."
            yield Found(f"version {each['name']}", "warn", "a canary is under way", way)


def _day(text: str) -> date:
    return date.fromisoformat(text[:10])


def _keys(told: Told) -> Iterator[Found]:
    for each in told.ending:
        ends = datetime.fromtimestamp(each["ends"], UTC)
        seen = f"of {each['application']} for {each['api']} ends on {ends:%Y-%m-%d %H:%M} UTC"
        yield Found(f"key {each['id']}", "warn", seen, f"penstock keys rotate {each['id']}")


def _exposure(told: Told) -> Iterator[Found]:
    parts = urlsplit(told.url)
    host = parts.hostname or ""
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    if parts.scheme == "http" and not local:
        way = "Put TLS in front of the admin port, or reach it through a tunnel: the token travels with each request."
        yield Found("admin", "bad", f"asked over plain http at {host}", way)
    else:
        yield Found("admin", "ok", f"asked at {told.url}")


def _context(told: Told) -> Iterator[Found]:
    if told.context is None:
        return
    mode = told.context.stat().st_mode & 0o777
    if mode & 0o077:
        way = f"chmod 600 {told.context}; then make another token: penstock tokens create."
        yield Found("token file", "bad", f"{told.context} may be read by others ({mode:o})", way)
    elif told.context.stat().st_uid != os.getuid():
        yield Found("token file", "warn", f"{told.context} belongs to somebody else", "Run as the gateway's own user.")
    else:
        yield Found("token file", "ok", f"{told.context} is this user's alone")


def _metrics(told: Told) -> Iterator[Found]:
    yield from examine_metrics(list(samples(told.metrics)), told.now.timestamp() + told.skew)


def _folder(told: Told) -> Iterator[Found]:
    """Where the token's file was written by a node of this machine."""
    if told.context is not None and (told.context.parent / "run").is_dir():
        yield from examine_folder(told.context.parent)


CHECKS: Final[tuple[Callable[[Told], Iterator[Found]], ...]] = (
    _ready,
    _store,
    _servers,
    _clock,
    _nodes,
    _agreeing,
    _environments,
    _versions,
    _hosted,
    _open,
    _keys,
    _metrics,
    _exposure,
    _context,
    _folder,
)
