"""System query options as a query plan (OData 4.01 URL conventions, section 5.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from gateway.core.errors import BadRequest, NotImplementedHere
from gateway.query.names import nearest
from gateway.query.odata_filter import parse_filter
from gateway.query.plan import Order
from gateway.query.typed import property_of
from gateway.schema.types import Record, Types

MAX_TOP: Final = 1_000_000
MAX_SKIP: Final = 2**31 - 1
MAX_ORDERS: Final = 16
_NUMBER: Final = re.compile(r"[0-9]{1,18}")
_ORDER: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:[ \t]+(asc|desc))?", re.IGNORECASE)
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def allow(options: Mapping[str, str], allowed: frozenset[str], what: str) -> None:
    """BadRequest for an option that says nothing about this resource."""
    for name in options:
        if name not in allowed:
            raise BadRequest(f"{name} cannot be applied to {what}.", target=name)


def number(options: Mapping[str, str], name: str, most: int) -> int | None:
    """A count from 0 up. BadRequest."""
    text = options.get(name)
    if text is None:
        return None
    if _NUMBER.fullmatch(text) is None:
        raise BadRequest(f"{name} must be a whole number from 0 up, not {text[:40]!r}.", target=name)
    if int(text) > most:
        raise BadRequest(f"{name} must be at most {most}. Follow @odata.nextLink to read everything.", target=name)
    return int(text)


def boolean(options: Mapping[str, str], name: str) -> bool:
    text = options.get(name, "false")
    if text not in ("true", "false"):
        raise BadRequest(f"{name} must be true or false, not {text[:40]!r}.", target=name)
    return text == "true"


def order(options: Mapping[str, str], record: Record, types: Types) -> tuple[Order, ...]:
    """`total desc,name`. NotImplementedHere for expressions and paths."""
    text = options.get("$orderby")
    if text is None:
        return ()
    items = text.split(",")
    if len(items) > MAX_ORDERS:
        raise BadRequest(f"$orderby has more than {MAX_ORDERS} parts.", target="$orderby")
    made: list[Order] = []
    for item in items:
        found = _ORDER.fullmatch(item.strip(" \t"))
        if found is None:
            raise _unreadable("$orderby", item)
        property_of(found[1], record, types, "$orderby")
        if any(one.field == found[1] for one in made):
            raise BadRequest(f"$orderby names {found[1]} twice.", target="$orderby")
        made.append(Order(found[1], (found[2] or "asc").lower() == "desc"))
    return tuple(made)


def _unreadable(option: str, item: str) -> BadRequest | NotImplementedHere:
    if any(mark in item for mark in "/($@"):
        return NotImplementedHere(f"{option}: {item[:60]!r}: only properties' names are supported here.", target=option)
    return BadRequest(f"{option}: {item[:60]!r} is not a property's name.", target=option)


def selected(options: Mapping[str, str], record: Record) -> tuple[str, ...] | None:
    """The selected properties in the record's order; None for all of them."""
    text = options.get("$select")
    if text is None:
        return None
    names = [item.strip(" \t") for item in text.split(",")]
    for name in names:
        if name != "*" and _NAME.fullmatch(name) is None:
            raise _unreadable("$select", name)
        if name != "*" and name not in record:
            raise BadRequest(_unknown(name, record), target="$select")
    return None if "*" in names else tuple(part.name for part in record.fields if part.name in names)


def _unknown(name: str, record: Record) -> str:
    return f"$select: {record.name} has no property {name[:80]}.{nearest(name, (part.name for part in record.fields))}"


def condition(options: Mapping[str, str], record: Record, types: Types) -> object | None:
    text = options.get("$filter")
    return None if text is None else parse_filter(text, record, types)
