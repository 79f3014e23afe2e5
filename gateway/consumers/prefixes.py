"""Keys by the beginning of their digest, which is what the id of a key tells (`consumers.keys.key_id`).

An id is asked for rarely: when a record changes, and by exchanges that last. So this takes some 15 bytes a key, where
a dictionary with the ids as texts takes more than 150, and a look-up in it is slower, about a microsecond.
"""

from __future__ import annotations

from array import array
from typing import Any, Final, Protocol

LENGTH: Final = 8  # bytes of a digest that an id tells
_LEAST: Final = 64  # places


class Digested(Protocol):
    @property
    def digest(self) -> bytes: ...


class Prefixes:
    """Open addressing with linear probing: a table of numbers, each one more than a place in the list of items. No two
    items have the same prefix."""

    def __init__(self) -> None:
        self._items: list[Any] = []  # None where one was removed
        self._table = array("I", bytes(_LEAST * 4))
        self._there = 0

    def __len__(self) -> int:
        return self._there

    def find(self, prefix: bytes) -> Any:
        """The item, or None."""
        at = self._at(prefix)
        return None if at < 0 else self._items[at]

    def _at(self, prefix: bytes) -> int:
        table, items = self._table, self._items
        mask = len(table) - 1
        place = int.from_bytes(prefix, "big") & mask
        while number := table[place]:
            item = items[number - 1]
            if item is not None and item.digest.startswith(prefix):
                return number - 1
            place = (place + 1) & mask
        return -1

    def add(self, item: Digested) -> None:
        """In the place of one with the same prefix."""
        at = self._at(item.digest[:LENGTH])
        if at >= 0:
            self._items[at] = item
            return
        if len(self._items) * 3 >= len(self._table) * 2:
            self._rebuild()
        self._items.append(item)
        self._there += 1
        self._enter(item.digest, len(self._items))

    def remove(self, prefix: bytes) -> None:
        at = self._at(prefix)
        if at >= 0:
            self._items[at] = None
            self._there -= 1

    def _enter(self, digest: bytes, number: int) -> None:
        table = self._table
        mask = len(table) - 1
        place = int.from_bytes(digest[:LENGTH], "big") & mask
        while table[place]:
            place = (place + 1) & mask
        table[place] = number

    def _rebuild(self) -> None:
        """Without what was removed, and twice as large as what is there needs."""
        self._items = [item for item in self._items if item is not None]
        size = _LEAST
        while size < self._there * 3:
            size *= 2
        self._table = array("I", bytes(size * 4))
        for number, item in enumerate(self._items, 1):
            self._enter(item.digest, number)
