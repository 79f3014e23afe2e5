"""What `penstock doctor` finds where nodes do not agree: how far each has followed the store, and what their
clocks say. Pure over their heartbeats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from gateway.cli.finding import Found

AHEAD: Final = 2.0  # seconds that a heartbeat may come from the future
OLD: Final = 5.0  # seconds that a heartbeat of a living node may be old: it is forgotten then


def examine_nodes(nodes: Sequence[Mapping[str, Any]], now: float) -> Iterator[Found]:
    """`now` in seconds since 1970, by the clock of the node that is asked."""
    yield from _following(nodes)
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


def _clock(name: str, ahead: float) -> Iterator[Found]:
    if -(OLD + AHEAD) <= ahead <= AHEAD:
        return
    seen = f"its clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} that of the node that is asked"
    way = "Let all nodes follow a time server: limits, keys and tokens go by the clock."
    yield Found(f"clock of {name}", "warn", seen, way)
