"""Steps that stand side by side and can be done in one go: limits of one subject, in one call of the store (DESIGN 5).

Positions stay as they were, so that chains of mounts and plans line up: the first step does the work of all, the others
pass. A step with a condition stands for itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from gateway.core.kinds import Built
from gateway.live.slots import Slot, passes

Fused = dict[tuple[int, ...], Built]
"""What one version has fused, by the identities of the parts: a thousand routes share one of each."""


def fused(slots: Sequence[Slot], known: Fused) -> Iterator[Slot]:
    """As many slots as were given."""
    for key, group in groupby(slots, _key):
        together = list(group)
        if key is None or len(together) == 1:
            yield from together
        else:
            yield from _fuse(together, known)


def _key(slot: Slot) -> tuple[object, object] | None:
    fuses = slot.built.fuses
    return (slot.stage, fuses.key) if fuses is not None and slot.spec.when is None else None


def _fuse(slots: Sequence[Slot], known: Fused) -> Iterator[Slot]:
    parts = [slot.built.fuses for slot in slots if slot.built.fuses is not None]
    identity = tuple(map(id, parts))
    built = known.get(identity)
    if built is None:
        built = known[identity] = parts[0].fuse(parts[1:])
    first = replace(slots[0].built, step=built.step, after=built.after)
    yield replace(slots[0], built=first, run=built.step or passes)
    for slot in slots[1:]:
        yield replace(slot, built=replace(slot.built, step=None, after=None), run=passes)
