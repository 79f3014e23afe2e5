"""Paths into JSON values: a part of JSONPath (RFC 9535), compiled to functions that change what they find.

`$.card.number`, `$.lines[*].price`, `$['odd name']`, `$..password` (at any depth), `$.list[0]`, `$.list[-1]`,
`$.*`. Filters, slices and unions are not offered.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal, NamedTuple

Change = Callable[[Any], Any]  # the new value; REMOVED: the member goes

REMOVED: Final = object()
_STEP: Final = re.compile(
    r"(?P<deep>\.\.)?(?:\.?(?P<name>(?<=\.)[A-Za-z_\u0080-\U0010ffff][\w\u0080-\U0010ffff-]*)"
    r"|\.?(?P<star>(?<=\.)\*)|\[(?P<index>-?(?:0|[1-9][0-9]{0,8}))\]|\[(?P<any>\*)\]"
    r"|\['(?P<single>(?:[^'\\]|\\['\\])*)'\]|\[\"(?P<double>(?:[^\"\\]|\\[\"\\])*)\"\])"
)
_ESCAPE: Final = re.compile(r"\\(.)")
_LONGEST: Final = 32  # steps


class Step(NamedTuple):
    """`key` None: every member or item. `deep`: at any depth."""

    kind: Literal["name", "index", "any"]
    key: Any
    deep: bool


def parse(path: str) -> tuple[Step, ...]:
    """ValueError tells where the path cannot be read."""
    if not path.startswith("$"):
        raise ValueError(f"{path!r}: a path begins with $, such as $.customer.card (RFC 9535)")
    steps: list[Step] = []
    at = 1
    while at < len(path):
        match = _STEP.match(path, at)
        if match is None:
            raise ValueError(
                f"{path!r} cannot be read from character {at + 1} on; write .name, ['name'], [0], [*], .* or ..name"
            )
        steps.append(_step(match))
        at = match.end()
    if not steps:
        raise ValueError("the path $ alone is the whole body; name a part of it")
    if len(steps) > _LONGEST or sum(step.deep for step in steps) > 3:
        raise ValueError(f"{path!r} has more than {_LONGEST} steps, or more than 3 that search at any depth")
    return tuple(steps)


def _step(match: re.Match[str]) -> Step:
    deep = match["deep"] is not None
    if match["star"] or match["any"]:
        return Step("any", None, deep)
    if match["index"] is not None:
        return Step("index", int(match["index"]), deep)
    quoted = match["single"] if match["single"] is not None else match["double"]
    return Step("name", match["name"] if quoted is None else _ESCAPE.sub(r"\1", quoted), deep)


def changer(path: tuple[Step, ...], change: Change) -> Callable[[Any], None]:
    """A function that changes every part of a value that the path names, in place. Each container is gone into once,
    however many ways lead there: of `$..a..b` there may be as many as a nested body has levels, multiplied."""
    *way, last = path

    def apply(value: Any) -> None:
        parents = [value]
        for step in way:
            parents = list(
                {
                    id(child): child
                    for parent in parents
                    for holder in _holders(parent, step)
                    for child in _children(holder, step)
                    if isinstance(child, dict | list)
                }.values()
            )
        holders = {id(holder): holder for parent in reversed(parents) for holder in _holders(parent, last)}
        for holder in holders.values():
            _change(holder, last, change)

    return apply


def _holders(value: Any, step: Step) -> Iterator[Any]:
    """The containers in which the step looks: the value itself, or with `..` all below it as well, inner ones first."""
    if step.deep:
        stack, found = [value], []
        while stack:
            part = stack.pop()
            if isinstance(part, dict | list):
                found.append(part)
                stack += part.values() if isinstance(part, dict) else part
        yield from reversed(found)
    elif isinstance(value, dict | list):
        yield value


def _keys(holder: Any, step: Step) -> list[Any]:
    if isinstance(holder, dict):
        if step.kind == "any":
            return list(holder)
        return [step.key] if step.kind == "name" and step.key in holder else []
    if step.kind == "any":
        return list(range(len(holder)))
    if step.kind == "index" and -len(holder) <= step.key < len(holder):
        return [step.key % len(holder)]
    return []


def _children(holder: Any, step: Step) -> list[Any]:
    return [holder[key] for key in _keys(holder, step)]


def _change(holder: Any, step: Step, change: Change) -> None:
    for key in reversed(_keys(holder, step)):
        new = change(holder[key])
        if new is REMOVED:
            del holder[key]
        else:
            holder[key] = new
