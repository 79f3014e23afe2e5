"""What the JSON reader refuses and the writer guards."""

import datetime
import enum
from decimal import Decimal
from typing import Any

import pytest

from gateway.core.errors import InternalError, InvalidInput
from gateway.schema.json_codec import loads, reader, writer
from gateway.schema.types import AnyType, Array, Enumeration, Field, Record, Ref, Scalar, Type, Types

LINE = Record("Line", (Field("sku", Scalar("string", max_length=3)), Field("n", Scalar("int32", minimum=Decimal(1)))))
TREE = Record("Tree", (Field("value", Scalar("int32")), Field("left", Ref("Tree"), False, True)))
ORDER = Record(
    "Order",
    (
        Field("id", Scalar("int64")),
        Field("lines", Array(Ref("Line"), max_items=3)),
        Field("note", Scalar("string"), False, default="none"),
        Field("tags", Array(Scalar("string")), False, default=["a"]),
    ),
)
TYPES = Types({"Line": LINE, "Tree": TREE, "Order": ORDER})


def read(type_: Type, value: Any, nullable: bool = False) -> Any:
    return reader(type_, nullable, TYPES)(value)


def refused(type_: Type, value: Any) -> list[tuple[str, str]]:
    with pytest.raises(InvalidInput) as caught:
        read(type_, value)
    return [(detail.target, detail.message) for detail in caught.value.details]


def test_everything_that_is_wrong_is_told_at_once_with_its_place() -> None:
    value = {"id": "7", "lines": [{"sku": "ok", "n": 1}, {"sku": "long", "n": 0, "new": 1}], "odd key": 1}
    assert refused(Ref("Order"), value) == [
        ("$.id", "must be an integer of 64 bits"),
        ("$.lines[1].sku", "must have at most 3 characters"),
        ("$.lines[1].n", "must be at least 1"),
        ("$.lines[1].new", "is not a known field (known: n, sku)"),
        ("$['odd key']", "is not a known field (known: id, lines, note, tags)"),
    ]


def test_a_missing_field_is_named() -> None:
    assert refused(Ref("Order"), {"lines": []}) == [("$.id", "is required")]


def test_a_flood_of_errors_is_cut() -> None:
    assert len(refused(Array(Scalar("int32")), ["x"] * 10_000)) == 50


def test_defaults_fill_in_and_are_never_shared() -> None:
    first = read(Ref("Order"), {"id": 1, "lines": []})
    assert (first["note"], first["tags"]) == ("none", ["a"])
    first["tags"].append("b")
    assert read(Ref("Order"), {"id": 1, "lines": []})["tags"] == ["a"]


def test_a_type_that_contains_itself_is_read_to_its_depth() -> None:
    value = {"value": 1, "left": {"value": 2, "left": {"value": "x"}}}
    assert refused(Ref("Tree"), value) == [("$.left.left.value", "must be an integer of 32 bits")]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int32", True), ("int32", 2**31), ("int64", 2**63), ("int32", 1.5), ("int32", "1"), ("double", True),
        ("double", "1"), ("double", 10**400), ("float", 1e39), ("boolean", 1), ("boolean", "true"), ("string", 1),
        ("decimal", "1e3"), ("decimal", "NaN"), ("decimal", "+1"), ("decimal", True), ("decimal", "1٣"),
        ("datetime", "2024-05-01T12:00:00"), ("datetime", "2024-13-01T12:00:00Z"), ("datetime", "2024-05-01"),
        ("datetime", "2024-05-01T24:00:00Z"), ("date", "20240501"), ("date", "2024-02-30"), ("time", "12:00"),
        ("time", "12:00:00Z"), ("duration", "P1M"), ("duration", "P"), ("duration", "PT"), ("duration", "P1DT"),
        ("duration", "P999999999DT99999999999H"), ("uuid", "6f1f5a0e3c1b4b8e9d0a2f6a1c0b7d55"), ("bytes", "YQ"),
        ("bytes", "YQ==\n"), ("bytes", "é"), ("datetime", "0001-01-01T00:00:00+2400"),
    ],
)  # fmt: skip
def test_a_value_of_another_kind_is_refused(kind: Any, value: Any) -> None:
    ((target, message),) = refused(Scalar(kind), value)
    assert target == "$"
    assert message.startswith("must ")


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("int32", 1.0, 1), ("double", 1, 1.0), ("decimal", 5, Decimal(5)), ("decimal", 0.1, Decimal("0.1")),
        ("duration", "-P1DT0.5S", -datetime.timedelta(days=1, seconds=0.5)),
        ("datetime", "2024-05-01t12:00:00.1234567z", datetime.datetime(2024, 5, 1, 12, 0, 0, 123456, datetime.UTC)),
    ],
)  # fmt: skip
def test_every_spelling_of_a_value_is_read(kind: Any, value: Any, expected: Any) -> None:
    result = read(Scalar(kind), value)
    assert result == expected
    assert type(result) is type(expected)


def test_a_decimal_is_exact_where_a_double_is_not() -> None:
    assert read(Scalar("decimal"), loads(b"12345678901234567.89")) == Decimal("12345678901234567.89")


def test_a_decimal_keeps_to_its_digits() -> None:
    money = Scalar("decimal", precision=5, scale=2)
    assert read(money, "123.40") == Decimal("123.4")
    assert refused(money, "1234") == [("$", "must have at most 3 digits before the point")]
    assert refused(money, "1.234") == [("$", "must have at most 2 digits behind the point")]
    assert refused(money, 0.125) == [("$", "must have at most 2 digits behind the point")]


def test_double_arithmetic_does_not_spoil_a_decimal_of_a_scale() -> None:
    money = Scalar("decimal", precision=12, scale=2)
    assert all(read(money, cents * 0.01) == Decimal(cents) / 100 for cents in range(2000))


def test_a_flood_of_digits_is_refused() -> None:
    assert refused(Scalar("decimal"), "1" * 100_000)
    assert refused(Scalar("decimal"), Decimal("1e-9999999"))


def test_any_json_passes_and_numbers_become_floats() -> None:
    assert read(AnyType(), loads(b'{"a": [1, null, 0.1000000000000000055511151231257827]}')) == {"a": [1, None, 0.1]}
    assert refused(AnyType(), [2**64]) == [("$[0]", "must be an integer of 64 bits")]


def test_null_is_read_only_where_it_may_stand() -> None:
    assert read(Scalar("int32"), None, nullable=True) is None
    assert refused(Scalar("int32"), None)


def test_a_member_of_an_enumeration_is_told_from_a_boolean() -> None:
    number = Enumeration("N", (0, 1), ("Zero", "One"))
    assert read(number, 1.0) == 1
    assert refused(number, True) == [("$", "must be one of 0, 1")]


class Colour(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("type_", "value", "place"),
    [
        (Ref("Order"), {"id": 1, "lines": [{"sku": "a", "n": None}]}, "$.lines[0].n"),
        (Ref("Order"), {"id": 1}, "$.lines"),
        (Ref("Order"), {"id": 1, "lines": [], "secret": "hunter2"}, "$.secret"),
        (Scalar("datetime"), datetime.datetime(2024, 5, 1), "$"),
        (Scalar("date"), datetime.datetime(2024, 5, 1, tzinfo=datetime.UTC), "$"),
        (Scalar("double"), float("nan"), "$"),
        (Scalar("decimal", precision=3, scale=1), Decimal("1.23"), "$"),
        (Scalar("decimal"), Decimal("Infinity"), "$"),
        (Scalar("int32"), 2**40, "$"),
        (Scalar("int64"), True, "$"),
        (Enumeration("C", ("red",), ("red",)), Colour.RED, "$"),
        (AnyType(), {"a": Decimal(1)}, "$.a"),
        (AnyType(), {1: 1}, "$"),
    ],
)  # fmt: skip
def test_an_answer_that_does_not_fit_its_contract_never_leaves(type_: Type, value: Any, place: str) -> None:
    with pytest.raises(InternalError) as failed:
        writer(type_, False, TYPES)(value)
    assert failed.value.target == place
    assert "hunter2" not in failed.value.detail


def test_an_integer_passes_where_a_decimal_is_written() -> None:
    assert writer(Scalar("decimal"), False, TYPES)(5) == "5"
