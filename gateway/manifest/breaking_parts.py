"""What only some consumers notice of a new revision: how requests find the version, the order of XML elements,
navigation of entity sets. Pure; each is yielded as (keys of its place, what changed)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gateway.manifest.documents import ApiComponent, EntitySet
from gateway.manifest.site import Keys
from gateway.schema.types import Array, Record, Ref, Type, Types

Broken = tuple[Keys, str]


def chosen_otherwise(before: ApiComponent, after: ApiComponent) -> Iterator[Broken]:
    """How requests find the version."""
    if before.base_path != after.base_path:
        yield ("base_path",), f"the base path was {before.base_path}"
    for gone in sorted(set(before.select_by) - set(after.select_by)):
        yield ("select_by",), f"the version can no longer be chosen by {gone}"
    kept = set(before.select_by) & set(after.select_by)
    if _by_field(before) and _by_field(after) and before.version_header.lower() != after.version_header.lower():
        yield ("version_header",), f"the version's header was {before.version_header}"
    if "query" in kept and before.version_query != after.version_query:
        yield ("version_query",), f"the version's query parameter was {before.version_query}"
    if "date" in kept and before.released != after.released:
        yield ("released",), f"the version was released on {before.released}: dates in between lead elsewhere now"
    if before.default and not after.default:
        yield ("default",), "requests that name no version were answered by this one"


def _by_field(component: ApiComponent) -> bool:
    ways = set(component.select_by)
    return "header" in ways or ("date" in ways and "query" not in ways)


def moved(operation: str, routes: Mapping[str, str]) -> str:
    """Where an operation is now whose route is gone, for the message; empty when it is nowhere."""
    found = sorted(route for route, each in routes.items() if each == operation)
    return f": {operation} is at {', '.join(found)} now" if operation and found else ""


def reordered(old: Types, new: Types, before: Type, after: Type) -> Iterator[tuple[str, str]]:
    """Elements of a message are read in the order of their schema (XML Schema part 1, section 3.8), so that one order
    is not another. Yields (path of the record, what changed)."""
    yield from _reordered(old, new, before, after, "", set())


def _reordered(
    old: Types, new: Types, before: Type, after: Type, path: str, seen: set[tuple[str, str]]
) -> Iterator[tuple[str, str]]:
    if isinstance(before, Ref) and isinstance(after, Ref):
        if (before.name, after.name) in seen:
            return
        seen.add((before.name, after.name))
    was, now = old.resolve(before), new.resolve(after)
    if isinstance(was, Array) and isinstance(now, Array):
        yield from _reordered(old, new, was.item, now.item, f"{path}[]", seen)
    elif isinstance(was, Record) and isinstance(now, Record):
        there = {part.name for part in now.fields}
        names = [part.name for part in was.fields if part.name in there]
        order = [part.name for part in now.fields if part.name in set(names)]
        if names != order:
            yield path, f"has its elements in the order {', '.join(order)} now, no longer {', '.join(names)}"
        for part in was.fields:
            if part.name in there:
                where = f"{path}.{part.name}" if path else part.name
                yield from _reordered(old, new, part.type, now[part.name].type, where, seen)


def navigated(keys: Keys, before: EntitySet, after: EntitySet) -> Iterator[Broken]:
    name = str(keys[-1])
    for navigation, was in before.navigation.items():
        now = after.navigation.get(navigation)
        if now is None:
            yield (*keys, "navigation"), f"the navigation {name}/{navigation} is gone"
            continue
        place: Keys = (*keys, "navigation", navigation)
        if was.to != now.to:
            yield place, f"the navigation {name}/{navigation} led to {was.to}"
        if was.many != now.many:
            many = {True: "many", False: "one", None: "what its keys say"}
            yield place, f"the navigation {name}/{navigation} led to {many[was.many]}"
