"""A value that is written reads back equal, whatever its type (PROTOCOLS T)."""

from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from lxml import etree
from strategies import cases, enumerations, scalar_values, scalars, tables, without_empty_lists

from gateway.schema import edm, json_codec, json_schema, text, xml_codec
from gateway.schema.types import Enumeration, Scalar, Type, Types

Case = tuple[Types, Type, bool, Any]
NAMESPACE = "urn:example:shop"


@settings(max_examples=40)
@given(cases())
def test_a_value_written_as_json_reads_back_equal(case: Case) -> None:
    types, type_, nullable, value = case
    written = orjson.dumps(json_codec.writer(type_, nullable, types)(value))
    assert json_codec.reader(type_, nullable, types)(json_codec.loads(written)) == value


@settings(max_examples=40)
@given(cases())
def test_what_the_json_writer_writes_is_valid_by_the_schema_that_is_written(case: Case) -> None:
    types, type_, nullable, value = case
    written = json_codec.writer(type_, nullable, types)(value)
    schema = json_schema.write(type_, nullable) | {"types": json_schema.write_types(types)}
    Draft202012Validator(schema).validate(written)


@settings(max_examples=40)
@given(cases(), st.booleans())
def test_a_value_written_as_odata_json_reads_back_equal(case: Case, ieee754: bool) -> None:
    types, type_, nullable, value = case
    written = orjson.dumps(edm.json_writer(type_, nullable, types, ieee754)(value))
    assert edm.json_reader(type_, nullable, types, ieee754)(json_codec.loads(written)) == value


@settings(max_examples=40)
@given(cases())
def test_a_value_written_as_xml_reads_back_equal(case: Case) -> None:
    types, type_, nullable, value = case
    parent = etree.Element("parent")
    xml_codec.element_writer(type_, nullable, types, NAMESPACE)(parent, f"{{{NAMESPACE}}}value", value)
    (element,) = etree.fromstring(etree.tostring(parent))
    read = xml_codec.element_reader(type_, nullable, types, NAMESPACE)(element, "$")
    assert read == without_empty_lists(value, type_, types)


@given(scalars().flatmap(lambda scalar: st.tuples(st.just(scalar), scalar_values(scalar))))
def test_a_scalar_written_as_text_reads_back_equal(case: tuple[Scalar, Any]) -> None:
    scalar, value = case
    assert text.text_reader(scalar, Types())(text.text_writer(scalar, Types())(value)) == value


@given(enumerations("Colour"), st.booleans())
def test_an_enumeration_travels_as_text_by_value_and_by_name(enumeration: Enumeration, names: bool) -> None:
    read = text.text_reader(enumeration, Types(), names=names)
    write = text.text_writer(enumeration, Types(), names=names)
    assert tuple(read(write(value)) for value in enumeration.values) == enumeration.values


@settings(max_examples=40)
@given(tables())
def test_types_written_as_json_schema_read_back_equal(types: Types) -> None:
    written = orjson.loads(orjson.dumps(json_schema.write_types(types)))
    assert json_schema.write_types(json_schema.read_types(written)) == written


@given(scalars(), st.booleans())
def test_a_scalar_written_as_json_schema_reads_back_equal(scalar: Scalar, nullable: bool) -> None:
    written = orjson.loads(orjson.dumps(json_schema.write(scalar, nullable)))
    assert json_schema.read(written, Types(), "x") == (scalar, nullable)
