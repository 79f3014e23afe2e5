"""JSON Pointers (RFC 6901) compiled: to read, set, remove and rename members of a JSON value in place."""

from __future__ import annotations

import re
from typing import Any, Final

_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,8}")
_BAD_ESCAPE: Final = re.compile(r"~(?![01])")
_LONGEST: Final = 32  # steps
ABSENT: Final = object()

Steps = tuple[str, ...]


class CannotStand(Exception):
    """The value has something else where the pointer leads through."""


def parse(pointer: str) -> Steps:
    """The steps. ValueError for what is no pointer, or the whole document."""
    if not pointer.startswith("/"):
        raise ValueError(f"{pointer!r} is no JSON Pointer; write it as /member/0/member (RFC 6901)")
    if _BAD_ESCAPE.search(pointer):
        raise ValueError(f"{pointer!r}: in a JSON Pointer ~ is written ~0, and / in a name ~1")
    steps = tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer[1:].split("/"))
    if len(steps) > _LONGEST:
        raise ValueError(f"{pointer!r} has more than {_LONGEST} steps")
    return steps


def write(steps: Steps) -> str:
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)


def _at(part: Any, step: str) -> Any:
    if isinstance(part, dict):
        return part.get(step, ABSENT)
    if isinstance(part, list) and _INDEX.fullmatch(step) and int(step) < len(part):
        return part[int(step)]
    return ABSENT


def find(value: Any, steps: Steps) -> Any:
    """The part that the pointer names, or ABSENT."""
    for step in steps:
        value = _at(value, step)
        if value is ABSENT:
            return ABSENT
    return value


def put(value: Any, steps: Steps, part: Any) -> None:
    """Sets a member, or an item of a list (`-`: behind the last). Objects that are missing on the way are made.
    CannotStand when the value has something else there."""
    for at, step in enumerate(steps[:-1]):
        below = _at(value, step)
        if below is ABSENT:
            below = {}
            _set(value, steps[: at + 1], below)
        value = below
    _set(value, steps, part)


def _set(value: Any, steps: Steps, part: Any) -> None:
    step = steps[-1]
    if isinstance(value, dict):
        value[step] = part
    elif isinstance(value, list) and step == "-":
        value.append(part)
    elif isinstance(value, list) and _INDEX.fullmatch(step) and int(step) < len(value):
        value[int(step)] = part
    else:
        raise CannotStand(write(steps))


def remove(value: Any, steps: Steps) -> Any:
    """Takes the part out and gives it; ABSENT where there is none."""
    parent, step = find(value, steps[:-1]), steps[-1]
    found = _at(parent, step)
    if found is not ABSENT:
        del parent[step if isinstance(parent, dict) else int(step)]
    return found


def rename(value: Any, steps: Steps, name: str) -> None:
    """Gives a member another name, in its place among its siblings; one that has that name already gives way."""
    parent = find(value, steps[:-1])
    if isinstance(parent, dict) and steps[-1] in parent and name != steps[-1]:
        members = [(name if key == steps[-1] else key, part) for key, part in parent.items() if key != name]
        parent.clear()
        parent.update(members)
