"""Names of an enumeration's members where its values cannot be names: XSD and EDM take identifiers only."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NOT_NAME = re.compile(r"[^A-Za-z0-9_]+")


def member_names(values: Sequence[str] | Sequence[int]) -> tuple[str, ...]:
    """A distinct identifier (EDM SimpleIdentifier, XML NCName) for each value; a value that is one keeps its own."""
    taken = {value for value in values if isinstance(value, str) and _is_identifier(value)}
    names: list[str] = []
    for value in values:
        names.append(value if isinstance(value, str) and value in taken else _fresh(_derived(value), taken))
    return tuple(names)


def _is_identifier(text: str) -> bool:
    return re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,127}", text) is not None


def _derived(value: str | int) -> str:
    if isinstance(value, int):
        return f"Value{value}" if value >= 0 else f"Minus{-value}"
    name = _NOT_NAME.sub("_", value)[:120].strip("_") or "Empty"
    return name if not name[0].isdigit() else f"Value{name}"


def _fresh(name: str, taken: set[str]) -> str:
    candidate, number = name, 2
    while candidate in taken:
        candidate, number = f"{name}_{number}", number + 1
    taken.add(candidate)
    return candidate
