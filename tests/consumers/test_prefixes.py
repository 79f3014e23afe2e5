"""Keys by the beginning of their digest, against a dictionary."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from gateway.consumers.prefixes import LENGTH, Prefixes


@dataclass
class Item:
    digest: bytes
    number: int


def digest(number: int) -> bytes:
    """Those of neighbours begin with other bytes, and many fall on the same place of the table."""
    return (number * 64).to_bytes(LENGTH, "big") + b"the rest"


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 200)), max_size=400))
def test_it_finds_what_a_dictionary_finds(steps: list[tuple[bool, int]]) -> None:
    found, expected = Prefixes(), dict[bytes, Item]()
    for at, (add, number) in enumerate(steps):
        item = Item(digest(number), at)
        prefix = item.digest[:LENGTH]
        if add:
            found.add(item)
            expected[prefix] = item
        else:
            found.remove(prefix)
            expected.pop(prefix, None)
        assert len(found) == len(expected)
    for number in range(201):
        prefix = digest(number)[:LENGTH]
        assert found.find(prefix) is expected.get(prefix)


def test_many_that_come_and_go_do_not_make_it_grow() -> None:
    found = Prefixes()
    for number in range(10_000):
        found.add(Item(digest(number), number))
        found.remove(digest(number)[:LENGTH])
    assert len(found._table) <= 128
    assert len(found._items) <= 128
