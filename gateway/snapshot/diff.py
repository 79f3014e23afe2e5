"""What differs between two compiled things, as lines that a person reads: path, before, after. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel


class _Absent:
    def __repr__(self) -> str:
        return "absent"


ABSENT: Final = _Absent()


@dataclass(frozen=True, slots=True)
class Difference:
    """`before` or `after` is ABSENT where one side has nothing."""

    path: str
    before: Any
    after: Any

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"path": self.path}
        if self.before is not ABSENT:
            found["before"] = self.before
        if self.after is not ABSENT:
            found["after"] = self.after
        return found


def diff(before: BaseModel | None, after: BaseModel | None) -> list[Difference]:
    """Differences in the order of their paths. Lists of things with a key, name or id are compared by it."""
    old = before.model_dump(mode="json", by_alias=True) if before is not None else ABSENT
    new = after.model_dump(mode="json", by_alias=True) if after is not None else ABSENT
    return list(_differences("", old, new))


def differences(before: Any, after: Any) -> list[Difference]:
    """Of what JSON has, as `diff` tells them."""
    return list(_differences("", before, after))


def _differences(path: str, before: Any, after: Any) -> Iterator[Difference]:
    if isinstance(before, list) and isinstance(after, list):
        yield from _reordered(path, before, after)
        before, after = _keyed(before), _keyed(after)
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted((before.keys() | after.keys()) - _unseen(before), key=str):
            yield from _differences(_join(path, key), before.get(key, ABSENT), after.get(key, ABSENT))
    elif before is ABSENT or after is ABSENT or before != after or isinstance(before, bool) != isinstance(after, bool):
        yield Difference(path, before, after)


def _unseen(item: dict[str, Any]) -> set[str]:
    """Where a step or an endpoint is written changes nothing."""
    return {"place"} if {"id", "use"} <= item.keys() or {"key", "protocol"} <= item.keys() else set()


def _reordered(path: str, before: list[Any], after: list[Any]) -> Iterator[Difference]:
    """The order of steps is the order in which they run."""
    steps = [[item["id"] for item in items if isinstance(item, dict) and "use" in item] for items in (before, after)]
    old, new = ([id for id in ids if id in steps[0] and id in steps[1]] for ids in steps)
    if old != new:
        yield Difference(f"{path} (order)", old, new)


def _keyed(items: list[Any]) -> dict[Any, Any]:
    for names in (("key",), ("id",), ("name",), ("component", "version")):
        if items and all(isinstance(item, dict) and all(name in item for name in names) for item in items):
            return {f"[{'@'.join(str(item[name]) for name in names)}]": item for item in items}
    return {f"[{index}]": item for index, item in enumerate(items)}


def _join(path: str, key: str) -> str:
    if key.startswith("["):
        return path + key
    return f"{path}.{key}" if path else key
