"""What `penstock doctor` finds where nodes do not agree: how far each has followed the store, whether they have one key
secret, and what their clocks say. Pure over their heartbeats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from gateway.cli.finding import Found

AHEAD: Final = 2.0  # seconds that a heartbeat may come from the future
OLD: Final = 5.0  # seconds that a heartbeat of a living node may be old: it is forgotten then


def examine_nodes(nodes: Sequence[Mapping[str, Any]], now: float) -> Iterator[Found]:
    """`now` in seconds since 1970, by the clock of the node that is asked."""
    yield from _following(nodes)
    yield from _key_secrets(nodes)
    for each in nodes:
        if (at := each.get("at")) is not None:
            yield from _clock(str(each["name"]), float(at) - now)


def _following(nodes: Sequence[Mapping[str, Any]]) -> Iterator[Found]:
    """A change is told at once, so a node is behind for moments only, or cannot follow."""
    newest = max((int(each.get("serving", 0)) for each in nodes), default=0)
    for each in nodes:
        if "serving" in each and (behind := newest - int(each["serving"])) > 0:
            seen = f"{behind} changes behind: it has followed to {each['serving']}, another to {newest}"
            yield Found(f"node {each['name']}", "warn", seen, "Ask again in a moment; if it stays, its log says why.")


def _key_secrets(nodes: Sequence[Mapping[str, Any]]) -> Iterator[Found]:
    """By what each tells of it, which is no secret; a node of an older release tells nothing."""
    by: dict[str, list[str]] = {}
    for each in nodes:
        if (check := each.get("key_check")) is not None:
            by.setdefault(str(check), []).append(str(each["name"]))
    if len(by) > 1:
        seen = "nodes have different ones: " + " / ".join(", ".join(names) for names in sorted(by.values()))
        way = "Start all of them with one PENSTOCK_KEY_SECRET: a key that one node knows is refused by another."
        yield Found("key secret", "bad", seen, way)
    elif sum(map(len, by.values())) > 1:
        yield Found("key secret", "ok", "all nodes have the same")


def _clock(name: str, ahead: float) -> Iterator[Found]:
    if -(OLD + AHEAD) <= ahead <= AHEAD:
        return
    seen = f"its clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} that of the node that is asked"
    way = "Let all nodes follow a time server: limits, keys and tokens go by the clock."
    yield Found(f"clock of {name}", "warn", seen, way)
