"""XML by the type table: what is refused and where, and XSD types that agree."""

import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from strategies import scalar_values, scalars

from gateway.core.errors import InternalError, InvalidInput
from gateway.schema import xml_codec, xsd
from gateway.schema.text import text_writer
from gateway.schema.types import AnyType, Array, Enumeration, Field, Record, Ref, Scalar, Types

NS = "urn:example:shop"
LINE = Record("Line", (Field("sku", Scalar("string")), Field("n", Scalar("int32"), False, True)))
ORDER = Record(
    "Order",
    (
        Field("id", Scalar("int64")),
        Field("lines", Array(Ref("Line"), max_items=3)),
        Field("grid", Array(Array(Scalar("int32"))), False),
        Field("colour", Ref("Colour"), False, default="light blue"),
        Field("maybe", Array(Scalar("int32")), False, True),
        Field("free", AnyType(), False),
    ),
)
TYPES = Types({"Line": LINE, "Order": ORDER, "Colour": Enumeration("Colour", ("light blue",), ("light_blue",))})
READ = xml_codec.record_reader(ORDER, TYPES, NS)


def element(text: str) -> Any:
    xsi = "http://www.w3.org/2001/XMLSchema-instance"
    return etree.fromstring(f'<order xmlns="{NS}" xmlns:xsi="{xsi}" xmlns:o="urn:other">{text}</order>')


def refused(text: str) -> list[tuple[str, str]]:
    with pytest.raises(InvalidInput) as caught:
        READ(element(text), "$")
    return [(detail.target, detail.message) for detail in caught.value.details]


def test_a_record_is_read_with_lists_as_repeated_elements() -> None:
    value = READ(
        element(
            "<id> 7 </id><lines><sku> a </sku><n xsi:nil='true'/></lines><lines><sku/></lines>"
            "<grid><item>1</item><item>2</item></grid><grid/><maybe xsi:nil='1'/><free>{\"a\": 1}</free>"
        ),
        "$",
    )
    assert value == {
        "id": 7,
        "lines": [{"sku": " a ", "n": None}, {"sku": ""}],
        "grid": [[1, 2], []],
        "colour": "light blue",
        "maybe": None,
        "free": {"a": 1},
    }


def test_a_record_is_written_with_qualified_elements() -> None:
    wrapper = etree.Element(f"{{{NS}}}order", nsmap={None: NS})
    value = {"id": 7, "lines": [{"sku": "a", "n": None}], "grid": [[1]], "colour": "light blue", "maybe": None}
    xml_codec.record_writer(ORDER, TYPES, NS)(wrapper, value)
    assert READ(wrapper, "$") == value
    assert all(str(part.tag).startswith(f"{{{NS}}}") for part in wrapper.iter())


@pytest.mark.parametrize(
    ("text", "target", "message"),
    [
        ("<id>x</id>", "$.id", "must be an integer of 64 bits"),
        ("", "$.id", "is required"),
        ("<id>1</id><id>2</id>", "$.id", "must not occur more than once"),
        ("<lines><sku/></lines><id>1</id>", "$.id", "is out of order: it stands before lines"),
        ("<id>1</id><lines><sku/><what/></lines>", "$.lines[0].what", "is not a known element"),
        ("<id>1</id><o:lines/>", "$.lines", "must be in the namespace urn:example:shop, not urn:other"),
        ("<id>1</id><colour>light blue</colour>", "$.colour", "must be one of light_blue"),
        ("<id xsi:nil='true'/>", "$.id", "must not be nil"),
        ("<id>1</id><maybe xsi:nil='true'>1</maybe><maybe/>", "$.maybe[0]", "must not be nil"),
        ("<id>1</id><lines><sku/><n xsi:nil='true'>1</n></lines>", "$.lines[0].n", "must be empty"),
        ("<id><b/>1</id>", "$.id", "must not have elements inside"),
        ("<id>1</id>stray", "$", "must not have text between"),
        ("<id a='1'>1</id>", "$.id", "must not have the attribute a"),
        ("<id>1</id>" + "<lines><sku/></lines>" * 4, "$.lines", "must occur at most 3 times"),
        ("<id>1</id><grid><thing/></grid>", "$.grid[0].thing", "is not a known element"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_its_place(text: str, target: str, message: str) -> None:
    assert any(found == target and told.startswith(message) for found, told in refused(text))


def test_everything_that_is_wrong_is_told_under_the_given_path() -> None:
    with pytest.raises(InvalidInput) as caught:
        READ(element("<id>x</id><lines><n>y</n></lines>"), "$.order")
    assert [detail.target for detail in caught.value.details] == [
        "$.order.id", "$.order.lines[0].sku", "$.order.lines[0].n",
    ]  # fmt: skip


def test_a_comment_does_not_cut_a_text() -> None:
    assert READ(element("<id>1<!-- -->2</id>"), "$")["id"] == 12


def test_base64_may_be_broken_into_lines() -> None:
    read = xml_codec.element_reader(Scalar("bytes"), False, TYPES, NS)
    assert read(etree.fromstring("<a>aGVs\n  bG8=</a>"), "$") == b"hello"


def test_a_character_that_xml_cannot_carry_is_the_answers_fault() -> None:
    write = xml_codec.element_writer(Scalar("string"), False, TYPES, NS)
    with pytest.raises(InternalError, match="XML cannot carry"):
        write(etree.Element("a"), "b", "\x00")


def test_a_field_that_xml_cannot_name_is_refused_when_it_is_compiled() -> None:
    with pytest.raises(ValueError, match="'a b' cannot be the name"):
        xml_codec.record_reader(Record("R", (Field("a b", Scalar("string")),)), TYPES, NS)


def schema_of(scalar: Scalar) -> etree.XMLSchema:
    type_ = xsd.simple_type(scalar)
    xs = "http://www.w3.org/2001/XMLSchema"
    root = etree.Element(f"{{{xs}}}schema", nsmap={"xs": xs})
    simple = etree.SubElement(etree.SubElement(root, f"{{{xs}}}element", name="v"), f"{{{xs}}}simpleType")
    restriction = etree.SubElement(simple, f"{{{xs}}}restriction", base=type_.base)
    for name, value in type_.facets.items():
        etree.SubElement(restriction, f"{{{xs}}}{name}", value=value)
    return etree.XMLSchema(root)


def is_valid(scalar: Scalar, text: str) -> bool:
    value = etree.Element("v")
    value.text = text
    return schema_of(scalar).validate(value)


@given(scalars().flatmap(lambda scalar: st.tuples(st.just(scalar), scalar_values(scalar))))
def test_what_is_written_is_valid_by_the_xsd_type(case: tuple[Scalar, Any]) -> None:
    scalar, value = case
    year = getattr(value, "year", 2000)
    if year >= 1000 and not (isinstance(value, datetime.timedelta) and abs(value.days) > 10_000):
        assert is_valid(scalar, text_writer(scalar, Types())(value))


@pytest.mark.parametrize(
    ("scalar", "text"),
    [
        (Scalar("int32", minimum=Decimal(1)), "0"), (Scalar("int32", exclusive_maximum=Decimal(5)), "5"),
        (Scalar("decimal", precision=4, scale=2), "123"), (Scalar("decimal", precision=4, scale=2), "1.234"),
        (Scalar("decimal", minimum=Decimal(1), exclusive_minimum=Decimal(1)), "1"),
        (Scalar("double", maximum=Decimal("1.5")), "1.6"),
        (Scalar("string", max_length=2), "abc"), (Scalar("string", pattern="^[a-c]{2}$"), "abc"),
        (Scalar("string", pattern="b"), "ac"), (Scalar("bytes", max_length=1), "YWI="),
        (Scalar("datetime"), "2024-05-01T12:00:00"), (Scalar("date"), "2024-05-01Z"), (Scalar("duration"), "P1Y"),
        (Scalar("uuid"), "x"), (Scalar("time"), "12:00:00Z"),
    ],
)  # fmt: skip
def test_the_xsd_type_refuses_what_the_reader_refuses(scalar: Scalar, text: str) -> None:
    assert not is_valid(scalar, text)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("^[A-Z]{2,3}$", "[A-Z]{2,3}"), ("ab", ".*ab.*"), ("^ab", "ab.*"), (r"^a\.b$", r"a\.b"), ("a|b", ".*(a|b).*"),
        ("^a|b$", None), (r"^\d$", None), ("^a+?$", None), ("^(?:a)$", None), (r"a\$", r".*a\$.*"), (None, None),
    ],
)  # fmt: skip
def test_a_pattern_is_carried_over_only_when_it_means_the_same(pattern: str | None, expected: str | None) -> None:
    assert xsd.whole_pattern(pattern) == expected


def test_an_offset_that_xsd_does_not_know_is_written_in_utc() -> None:
    beyond = datetime.timezone(datetime.timedelta(hours=14, minutes=1))
    write = text_writer(Scalar("datetime"), Types())
    assert write(datetime.datetime(2000, 1, 1, tzinfo=beyond)) == "1999-12-31T09:59:00Z"
