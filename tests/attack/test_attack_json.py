"""JSON that is small on the wire and dear to read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import Detail, InvalidInput
from gateway.schema import json_codec, json_loads
from gateway.schema.json_loads import MAX_DEPTH, loads
from gateway.schema.places import MAX_DETAILS, ROOT

NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,18})?([eE][-+]?[0-9]{1,3})?", fullmatch=True)


@given(NUMBERS)
def test_a_number_is_a_double_only_when_the_double_says_exactly_what_was_written(text: str) -> None:
    """CASES B54: short numbers take a short way, which must not lose a digit"""
    try:
        value = loads(f"[{text}]".encode())[0]
    except InvalidInput:
        assert abs(Decimal(text)) > Decimal("1.7e308")
    else:
        assert Decimal(repr(value) if isinstance(value, float) else value) == Decimal(text)


@given(st.text(alphabet='"\\[]{}a', max_size=40))
def test_brackets_in_texts_are_no_depth(text: str) -> None:
    """CASES B54"""
    value = [text, ["["] * (MAX_DEPTH + 1)]
    assert loads(json.dumps(value).encode()) == value


def test_a_text_cannot_hide_depth() -> None:
    """CASES B54"""
    deep = b'["\\\\",' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"]"
    with pytest.raises(InvalidInput, match="deeper"):
        loads(deep)


def test_the_place_of_a_doubled_key_is_looked_for_in_small_texts_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """CASES B55: a second reading of a large text would hold the loop"""
    monkeypatch.setattr(json_loads, "_find_doubled", None)
    text = b"[" + b'{"a": 1},' * 10_000 + b'{"a": 1, "a": 2}]'
    with pytest.raises(InvalidInput) as refused:
        loads(text)
    assert refused.value.target == "$"


def test_unknown_fields_are_looked_at_until_the_refusal_is_full() -> None:
    """CASES B55"""
    looked = 0

    class Watched(dict[str, int]):
        def __iter__(self) -> Iterator[str]:
            nonlocal looked
            for key in super().__iter__():
                looked += 1
                yield key

    errors: list[Detail] = []
    json_codec._unknown(Watched.fromkeys(map(str, range(1000)), 1), frozenset(("known",)), ROOT, errors)
    assert len(errors) == MAX_DETAILS
    assert looked <= MAX_DETAILS + 1
