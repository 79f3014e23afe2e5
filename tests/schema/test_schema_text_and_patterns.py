"""Parameters as text, patterns in linear time, short forms."""

import math
from typing import Any

import pytest

from gateway.core.errors import InternalError
from gateway.schema.enumerations import member_names
from gateway.schema.patterns import matcher
from gateway.schema.short import expand
from gateway.schema.text import text_reader, text_writer
from gateway.schema.types import AnyType, Array, Enumeration, Ref, Scalar, Types

COLOUR = Enumeration("Colour", ("red", "light blue"), ("red", "light_blue"))
TYPES = Types({"Colour": COLOUR})


@pytest.mark.parametrize(("text", "value"), [("true", True), ("1", True), ("false", False), ("0", False)])
def test_booleans_have_four_spellings(text: str, value: bool) -> None:
    assert text_reader(Scalar("boolean"), TYPES)(text) is value


@pytest.mark.parametrize(
    ("kind", "text"),
    [("int32", "1.0"), ("int32", ""), ("int32", " 1"), ("int64", "9" * 30), ("int32", "1_0"), ("double", "INF"),
     ("double", "0x1"), ("boolean", "True"), ("decimal", "1e3"), ("date", "2024-5-1"), ("int32", "١")],
)  # fmt: skip
def test_a_parameter_of_another_kind_is_refused_with_what_was_expected(kind: Any, text: str) -> None:
    with pytest.raises(ValueError, match=r"^must "):
        text_reader(Scalar(kind), TYPES)(text)


def test_special_floats_are_read_where_xsd_has_them() -> None:
    read = text_reader(Scalar("double"), TYPES, special_floats=True)
    assert [read("INF"), read("-INF")] == [math.inf, -math.inf]
    assert math.isnan(read("NaN"))


def test_an_enumeration_goes_by_value_or_by_name() -> None:
    assert text_reader(Ref("Colour"), TYPES)("light blue") == "light blue"
    assert text_reader(Ref("Colour"), TYPES, names=True)("light_blue") == "light blue"
    with pytest.raises(ValueError, match="must be one of red, light blue"):
        text_reader(Ref("Colour"), TYPES)("light_blue")


def test_any_json_travels_as_its_text() -> None:
    assert text_reader(AnyType(), TYPES)(text_writer(AnyType(), TYPES)({"a": [1]})) == {"a": [1]}
    with pytest.raises(ValueError, match="JSON text"):
        text_reader(AnyType(), TYPES)("{")


def test_a_list_is_no_text() -> None:
    with pytest.raises(TypeError):
        text_reader(Array(Scalar("int32")), TYPES)


def test_a_value_that_does_not_fit_is_not_written() -> None:
    with pytest.raises(InternalError):
        text_writer(Scalar("int32"), TYPES)("x")


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("^a+$", "aaa", True), ("^a+$", "aaa\n", False), ("b", "abc", True), (r"^\d$", "٣", False),
        (r"^\w+$", "é", False),
        (r"^[\d-]+$", "1-2", True), (r"^[^\d]+$", "ab", True), (r"^[[a]$", "[", True), (r"^\/$", "/", True),
        (r"^\u0041$", "A", True), ("^[a&&b]+$", "&", True), (r"^\D\W$", "a-", True), (r"^[\]a]+$", "]a", True),
    ],
)  # fmt: skip
def test_a_pattern_means_what_ecma_262_means(pattern: str, text: str, matches: bool) -> None:
    assert matcher(pattern)(text) is matches


def test_a_pattern_that_would_backtrack_elsewhere_answers_at_once() -> None:
    """CASES B56."""
    assert not matcher("^(a+)+$")("a" * 100_000 + "b")


@pytest.mark.parametrize("pattern", ["(?=a)", "(?<!a)b", r"(a)\1", "(", "[", "a{1000000}{1000000}"])
def test_a_pattern_that_cannot_be_bounded_is_refused_when_it_is_read(pattern: str) -> None:
    """CASES B56."""
    with pytest.raises(ValueError, match="linear time"):
        matcher(pattern)


@pytest.mark.parametrize(
    ("short", "expected"),
    [
        ("string", {"type": "string"}),
        ("string(40)", {"type": "string", "maxLength": 40}),
        ("string?", {"type": ["string", "null"]}),
        ("any", {}),
        ("date", {"type": "string", "format": "date"}),
        ("Line", {"$ref": "#/types/Line"}),
        ("Line?", {"anyOf": [{"$ref": "#/types/Line"}, {"type": "null"}]}),
        ("[Line]", {"type": "array", "items": {"$ref": "#/types/Line"}}),
        (["Line"], {"type": "array", "items": {"$ref": "#/types/Line"}}),
        ("[string?]?", {"anyOf": [{"type": "array", "items": {"type": ["string", "null"]}}, {"type": "null"}]}),
        ({"type": "object", "properties": {"a": "[Line]"}},
         {"type": "object", "properties": {"a": {"type": "array", "items": {"$ref": "#/types/Line"}}}}),
        ({}, {}),
    ],
)  # fmt: skip
def test_a_short_form_expands_to_a_json_schema(short: Any, expected: Any) -> None:
    assert expand(short, {"Line"}) == expected


def test_a_short_decimal_carries_its_digits() -> None:
    schema = expand("decimal(12,2)")
    assert (schema["x-precision"], schema["x-scale"]) == (12, 2)


@pytest.mark.parametrize(
    ("short", "hint"),
    [
        ("strnig", "Did you mean string"), ("Lin", "Did you mean Line"), ("decimal(2,3)", "digits in all"),
        ("string(1,2)", "one number"), ({"id": "int64"}, "properties: {id"), (["a", "b"], "exactly one"), (5, "a word"),
    ],
)  # fmt: skip
def test_a_word_that_is_not_known_is_refused_with_what_comes_near(short: Any, hint: str) -> None:
    with pytest.raises(ValueError) as refused:
        expand(short, {"Line"})
    assert hint in str(refused.value)


def test_members_without_names_get_distinct_identifiers() -> None:
    names = member_names(("a", "a b", "a-b", "1st", "", "é"))
    assert names == ("a", "a_b", "a_b_2", "Value1st", "Empty", "Empty_2")
    assert member_names((-1, 0)) == ("Minus1", "Value0")
