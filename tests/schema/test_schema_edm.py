"""EDM names, literals in URLs, OData JSON."""

import datetime
import math
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import pytest

from gateway.core.errors import InvalidInput
from gateway.schema import edm
from gateway.schema.edm import EdmType
from gateway.schema.types import AnyType, Array, Enumeration, Field, Record, Ref, Scalar, Type, Types

COLOUR = Enumeration("Colour", ("red", "light blue"), ("red", "light_blue"))
LINE = Record("Line", (Field("colour", Ref("Colour")), Field("price", Scalar("decimal"))))
TYPES = Types({"Colour": COLOUR, "Line": LINE})


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        (Scalar("int32"), EdmType("Edm.Int32")),
        (Scalar("decimal", precision=12, scale=2), EdmType("Edm.Decimal", {"Precision": "12", "Scale": "2"})),
        (Scalar("decimal"), EdmType("Edm.Decimal", {"Scale": "variable"})),
        (Scalar("string", max_length=40), EdmType("Edm.String", {"MaxLength": "40"})),
        (Scalar("datetime"), EdmType("Edm.DateTimeOffset", {"Precision": "6"})),
        (Ref("Line"), EdmType("Shop.Line")),
        (Array(Ref("Colour")), EdmType("Collection(Shop.Colour)")),
        (Array(Scalar("string", max_length=4)), EdmType("Collection(Edm.String)", {"MaxLength": "4"})),
    ],
)
def test_every_type_has_its_edm_name(type_: Type, expected: EdmType) -> None:
    assert edm.edm_type(type_, TYPES, "Shop") == expected


@pytest.mark.parametrize("type_", [AnyType(), Array(Array(Scalar("int32")))])
def test_what_edm_has_not_is_refused(type_: Type) -> None:
    with pytest.raises(ValueError, match="OData has no"):
        edm.edm_type(type_, TYPES, "Shop")


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        (Scalar("string"), "'it''s'", "it's"), (Scalar("string"), "''", ""), (Scalar("int32"), "-5", -5),
        (Scalar("double"), "1.5e3", 1500.0), (Scalar("double"), "-INF", -math.inf),
        (Scalar("decimal"), "1.50", Decimal("1.5")),
        (Scalar("boolean"), "true", True), (Scalar("date"), "2024-05-01", datetime.date(2024, 5, 1)),
        (Scalar("datetime"), "2024-05-01T12:30Z", datetime.datetime(2024, 5, 1, 12, 30, tzinfo=datetime.UTC)),
        (Scalar("time"), "12:30", datetime.time(12, 30)),
        (Scalar("duration"), "duration'PT2H'", datetime.timedelta(hours=2)),
        (Scalar("duration"), "'PT2H'", datetime.timedelta(hours=2)), (Scalar("bytes"), "binary'-_8'", b"\xfb\xff"),
        (Scalar("uuid"), "00000000-0000-0000-0000-000000000005", UUID(int=5)),
        (COLOUR, "Shop.Colour'light_blue'", "light blue"),
    ],
)  # fmt: skip
def test_a_literal_is_read_as_its_value(type_: Any, text: str, value: Any) -> None:
    assert edm.literal_reader(type_)(text) == value


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        (Scalar("string"), "abc"), (Scalar("string"), "'a'b'"), (Scalar("string"), '"abc"'), (Scalar("int32"), "'5'"),
        (Scalar("int32"), "1 or 1 eq 1"), (Scalar("uuid"), "guid'x'"), (Scalar("bytes"), "binary'+/8'"),
        (Scalar("duration"), "PT2H"), (COLOUR, "'light blue'"), (Scalar("datetime"), "2024-05-01T12:30"),
    ],
)  # fmt: skip
def test_a_literal_of_another_form_is_refused(type_: Any, text: str) -> None:
    with pytest.raises(ValueError, match=r"^must "):
        edm.literal_reader(type_)(text)


def written(type_: Type, value: Any, ieee754: bool = False) -> str:
    return orjson.dumps(edm.json_writer(type_, False, TYPES, ieee754)(value)).decode()


def test_a_decimal_is_an_exact_number_unless_the_client_asks_for_strings() -> None:
    value = Decimal("12345678901234567890.10")
    assert written(Scalar("decimal"), value) == "12345678901234567890.10"
    assert written(Scalar("decimal"), value, True) == '"12345678901234567890.10"'


def test_an_integer_of_64_bits_is_a_number_unless_the_client_asks_for_strings() -> None:
    assert written(Scalar("int64"), 5) == "5"
    assert written(Scalar("int64"), 5, True) == '"5"'
    assert written(Scalar("int32"), 5, True) == "5"


@pytest.mark.parametrize(
    ("type_", "value", "expected"),
    [
        (Scalar("double"), math.inf, '"INF"'), (Scalar("double"), math.nan, '"NaN"'),
        (Scalar("bytes"), b"\xfb\xff", '"-_8"'), (Scalar("duration"), datetime.timedelta(days=1, hours=2), '"P1DT2H"'),
        (Ref("Line"), {"colour": "light blue", "price": Decimal(1)}, '{"colour":"light_blue","price":1}'),
    ],
)  # fmt: skip
def test_values_have_odatas_own_spelling(type_: Type, value: Any, expected: str) -> None:
    assert written(type_, value) == expected


def test_odata_json_is_read_with_places() -> None:
    read = edm.json_reader(Array(Ref("Line")), False, TYPES)
    with pytest.raises(InvalidInput) as refused:
        read([{"colour": "light blue", "price": "x"}])
    assert [detail.target for detail in refused.value.details] == ["$[0].colour", "$[0].price"]


def test_special_floats_and_strings_for_integers_are_read() -> None:
    assert edm.json_reader(Scalar("double"), False, TYPES)("INF") == math.inf
    assert edm.json_reader(Scalar("int64"), False, TYPES, True)("5") == 5
    with pytest.raises(InvalidInput):
        edm.json_reader(Scalar("int64"), False, TYPES)("5")
