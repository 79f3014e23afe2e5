"""The scanner of JSON limits agrees with a slow parser (CASES B54)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.schema.json_scan import JsonLimits, scan

LIMITS = JsonLimits(depth=4, values=30, members=3, items=4, string=6, name=4, digits=8)
FREE = JsonLimits(depth=10**6, values=10**9, members=10**9, items=10**9, string=10**9, name=10**9, digits=10**6)


class Broken(Exception):
    """The slow parser's."""


def slowly(data: bytes, limits: JsonLimits) -> bool:
    """Whether the text is sound: by the standard library's parser and a walk over what it gave."""
    digits: list[str] = []

    def number(text: str) -> float:
        digits.append(text)
        if math.isinf(float(text)):
            raise Broken
        return float(text)

    def constant(text: str) -> Any:
        raise Broken

    def pairs(found: list[tuple[str, Any]]) -> Any:
        if not limits.duplicates and len({name for name, _ in found}) < len(found):
            raise Broken
        return found

    class Pairs(list[Any]):
        """An object, as its pairs."""

    decoder = json.JSONDecoder(
        object_pairs_hook=lambda found: Pairs(pairs(found)),
        parse_int=number,
        parse_float=number,
        parse_constant=constant,
    )
    try:
        text = data.decode()
        if text.startswith("\ufeff"):
            return False
        value = decoder.decode(text)
    except (Broken, ValueError):
        return False
    try:
        count = sum(1 for _ in walk(value, 0, limits, Pairs))
    except Broken:
        return False
    most = max((sum(char not in "-+." for char in each) for each in digits), default=0)
    return count <= limits.values and most <= limits.digits


def walk(value: Any, depth: int, limits: JsonLimits, pairs: type) -> Iterator[Any]:
    yield value
    if isinstance(value, str):
        check(value, limits.string)
    elif isinstance(value, pairs):
        if depth >= limits.depth or len(value) > limits.members:  # type: ignore[arg-type]
            raise Broken
        for name, part in value:  # type: ignore[attr-defined]
            check(name, limits.name)
            yield from walk(part, depth + 1, limits, pairs)
    elif isinstance(value, list):
        if depth >= limits.depth or len(value) > limits.items:
            raise Broken
        for part in value:
            yield from walk(part, depth + 1, limits, pairs)


def check(text: str, limit: int) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Broken from None
    if len(text) > limit:
        raise Broken


numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
strings = st.text(alphabet='ab"\\\u00e4\u20ac\U0001f600\n', max_size=8)
values = st.recursive(
    st.none() | st.booleans() | numbers | strings,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(strings, inner, max_size=5),
    max_leaves=40,
)


@given(values, st.booleans(), st.sampled_from([None, 1]))
def test_whatever_a_writer_makes_is_judged_as_the_slow_parser_does(value: Any, plain: bool, indent: int | None) -> None:
    data = json.dumps(value, ensure_ascii=plain, indent=indent).encode()
    assert (scan(data, LIMITS) is None) == slowly(data, LIMITS)
    assert scan(data, FREE) is None


PIECES = ["{", "}", "[", "]", ",", ":", '"a"', '"b"', '"\\u0061"', "1", "-0", "01", "1.", "1e5", "1e400", "true", "nul"]
PIECES += [
    " ",
    "\n",
    '"\\ud800"',
    '"\\ud83d\\ude00"',
    '"\\\\ud800"',
    '"\t"',
    "NaN",
    "-Infinity",
    '"\\x"',
    "\ufeff",
    "5" * 9,
]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
@example('{"a":1,"\\u0061":2}')
@example('{"a":1,}')
@example("[1}")
@example("[[[[[]]]]]")
@example("[]]")
@example("")
@example("[1 2]")
@example("123456789")
@example("1E400")
@example('"\\ud800\\u0061"')
def test_whatever_pieces_are_put_together_are_judged_as_the_slow_parser_does(text: str) -> None:
    data = text.encode()
    assert (scan(data, LIMITS) is None) == slowly(data, LIMITS)


@given(st.binary(max_size=30))
def test_bytes_of_any_kind_are_judged_as_the_slow_parser_does(data: bytes) -> None:
    assert (scan(data, LIMITS) is None) == slowly(data, LIMITS)


@pytest.mark.parametrize(
    ("text", "target", "code", "message"),
    [
        ('{"a": {"b": [1, "toolong"]}}', "$.a.b[1]", "limit", "a string has more than 6 characters"),
        ("[[[[[1]]]]]", "$[0][0][0][0]", "limit", "is nested deeper than 4 levels"),
        ('{"a": [1,2,3,4,5]}', "$.a", "limit", "an array has more than 4 items"),
        ('{"a": {"b":1,"c":1,"d":1,"e":1}}', "$.a", "limit", "an object has more than 3 members"),
        ('{"a": [{"b": 1, "b": 2}]}', "$.a[0]", "duplicate", "a name stands twice in one object"),
        ('{"a": -123456789}', "$.a", "limit", "a number has more than 8 digits"),
        ('{"a": 1e999}', "$.a", "json", "a number is beyond what a double holds"),
        ('{"a": "\\udc00"}', "$.a", "json", "a string holds half of a surrogate pair, which is no character"),
        ('{"abcde": 1}', "$.abcde", "limit", "a name has more than 4 characters"),
        ("[1,\n 2,\n x]", "$", "json", "is not JSON at line 3, column 2: a value is expected"),
        ('{"a" 1}', "$", "json", "is not JSON at line 1, column 2: a member: a name in quotes, a colon and a value"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, target: str, code: str, message: str) -> None:
    found = scan(text.encode(), LIMITS)
    assert found is not None
    assert (found.target, found.code) == (target, code)
    assert found.message.startswith(message)


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000,
        b"9" * 5000,
        b"NaN",
        b"[1e400]",
        b'{"a":1,"a":2}',
        b'["\\ud800"]',
        b'"' + b"\\" * 1_000_001,
        b"[" + b"1," * 500_000,
        b" " * 1_000_000,
    ],
)
def test_hostile_texts_are_refused(data: bytes) -> None:
    """CASES B54"""
    assert scan(data, JsonLimits()) is not None


def test_a_text_of_any_depth_is_read_without_recursion() -> None:
    deep = b"[" * 200_000 + b"]" * 200_000
    assert scan(deep, FREE) is None


def test_doubled_names_may_be_allowed() -> None:
    assert scan(b'{"a":1,"a":2}', JsonLimits(duplicates=True)) is None
