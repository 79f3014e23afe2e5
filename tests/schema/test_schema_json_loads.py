"""Strict JSON (CASES B54)."""

from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from strategies import JSON

from gateway.core.errors import InvalidInput
from gateway.schema.json_codec import loads


@given(JSON)
def test_any_json_is_read_as_it_was_written(value: object) -> None:
    assert loads(orjson.dumps(value, default=str) if _fits(value) else b"0") == (value if _fits(value) else 0)


def _fits(value: object) -> bool:
    try:
        orjson.dumps(value)
    except TypeError:
        return False
    return True


@pytest.mark.parametrize(
    ("data", "message", "target"),
    [
        (b'{"a": [{"b": 1}, {"b": 1, "b": 2}]}', "names 'b' twice", "$.a[1]"),
        (b'{"a": 1, "\\u0061": 2}', "names 'a' twice", "$"),
        (b"[1, NaN]", "NaN is not a JSON number", "$"),
        (b"[-Infinity]", "-Infinity is not a JSON number", "$"),
        (b"[1e400]", "beyond what a double can hold", "$"),
        (b"1" * 4301, "more than 4300 digits", "$"),
        (b'{"a": "\\ud800"}', "surrogate", "$.a"),
        (b'{"\\udc00": 1}', "surrogate", "$"),
        (b'"\xff"', "UTF-8 at byte 1", "$"),
        (b'\xef\xbb\xbf{}', "BOM", "$"),
        (b"[" * 129 + b"]" * 129, "deeper than 128", "$"),
        (b"[" * 100_000, "deeper than 128", "$"),
        (b'{"a":' * 50_000, "deeper than 128", "$"),
        (b'{"a": 1,}', "line 1, column", "$"),
        (b"", "line 1, column 1", "$"),
        (b"{} {}", "extra data", "$"),
        (b"[01]", "line 1", "$"),
        (b'"a\nb"', "control character", "$"),
    ],
)  # fmt: skip
def test_json_that_two_parsers_could_read_differently_is_refused(data: bytes, message: str, target: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        loads(data)
    assert message in refused.value.detail
    assert refused.value.target == target


def test_brackets_in_strings_do_not_count_as_depth() -> None:
    assert loads(b'["' + b"[{" * 1000 + b'\\"["]') == ["[{" * 1000 + '"[']


def test_128_levels_are_read() -> None:
    assert loads(b"[" * 128 + b"]" * 128)


def test_many_shallow_lists_are_read() -> None:
    assert len(loads(b"[" + b"[],{}," * 1000 + b"[]]")) == 2001


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.5", 1.5), ("0.1", 0.1), ("1e3", 1000.0), ("123456789012345678.25", Decimal("123456789012345678.25")),
        ("0.1000000000000000055511151231257827", Decimal("0.1000000000000000055511151231257827")),
        ("1e-400", Decimal("1e-400")), ("123456789012345678901", 123456789012345678901),
    ],
)  # fmt: skip
def test_a_number_that_a_double_does_not_hold_is_exact(text: str, value: object) -> None:
    read = loads(text.encode())
    assert read == value
    assert type(read) is type(value)


def test_a_pair_of_surrogates_is_one_character() -> None:
    assert loads(b'"\\ud83d\\ude00"') == "😀"
