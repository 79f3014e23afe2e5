"""A guard that is given with a publish, in place of the manifest's: as text, and where it stands in a pointer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from gateway.core.errors import InvalidInput
from gateway.manifest.bundle import Bundle
from gateway.manifest.documents import Guard
from gateway.store.store import ACTIVE, Write


def read_guard(text: str) -> dict[str, Any]:
    """`errors=5%,p99=500ms` as it is stored. InvalidInput tells how to write it."""
    parts = [part.partition("=") for part in text.split(",")]
    given = {name.strip(): value.strip() for name, _, value in parts}
    if len(given) != len(parts) or not all(given.values()):
        raise InvalidInput("Write a guard as errors=5%,p99=500ms: each name once.", target="guard")
    try:
        return Guard.model_validate_strings(given).model_dump(mode="json", exclude_defaults=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InvalidInput(
            f"This is no guard: {place + ': ' if place else ''}{first['msg']}.", target="guard"
        ) from None


def guarded(writes: Iterable[Write], guard: Mapping[str, Any], canary: bool) -> list[Write]:
    """With the guard on what this publish activates; a canary's is the canary's own."""
    return [_guarded(write, dict(guard), canary) if write.table == ACTIVE else write for write in writes]


def _guarded(write: Write, guard: dict[str, Any], canary: bool) -> Write:
    value = dict(write.value or {})
    running = value.get("canary")
    if canary and running:
        return replace(write, value=value | {"canary": {**running, "guard": guard}})
    return replace(write, value=value | {"guard": guard})


def guard_of(pointer: Mapping[str, Any], bundle: Bundle) -> Guard | None:
    """What holds for the revision of a pointer, or of its canary: what its publish gave, else its manifest's."""
    given = (pointer.get("canary") or pointer).get("guard")
    return bundle.manifest.guard if given is None else Guard.model_validate(given)
