"""JSON Schema: what is read, what is refused, and where."""

from decimal import Decimal
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gateway.core.findings import DocumentsRefused
from gateway.schema import json_schema
from gateway.schema.types import AnyType, Array, Enumeration, Field, Record, Ref, Scalar, Types

LINE = {"type": "object", "properties": {"sku": {"type": "string"}}, "required": ["sku"]}


def test_named_types_refer_to_each_other_in_any_order() -> None:
    types = json_schema.read_types({"Lines": {"type": "array", "items": {"$ref": "#/types/Line"}}, "Line": LINE})
    assert types["Line"] == Record("Line", (Field("sku", Scalar("string")),))
    assert json_schema.read({"$ref": "#/types/Lines"}, types, "x") == (Array(Ref("Line")), False)


def test_a_named_scalar_is_put_in_place_where_it_is_referred_to() -> None:
    types = json_schema.read_types(
        {
            "Sku": {"type": ["string", "null"], "maxLength": 8},
            "Line": {"type": "object", "properties": {"sku": {"$ref": "#/types/Sku"}}},
        }
    )
    line = types["Line"]
    assert isinstance(line, Record)
    assert line["sku"] == Field("sku", Scalar("string", max_length=8), False, True)


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({}, (AnyType(), False)),
        (True, (AnyType(), False)),
        ({"description": "free"}, (AnyType(), False)),
        ({"type": "integer"}, (Scalar("int64"), False)),
        ({"type": ["integer", "null"], "format": "int32"}, (Scalar("int32"), True)),
        ({"anyOf": [{"type": "null"}, {"type": "boolean"}]}, (Scalar("boolean"), True)),
        ({"oneOf": [{"type": "null"}, {"type": "boolean"}]}, (Scalar("boolean"), True)),
        ({"type": "number", "format": "float", "minimum": 0.5}, (Scalar("float", minimum=Decimal("0.5")), False)),
        ({"type": "string", "contentEncoding": "base64"}, (Scalar("bytes"), False)),
        ({"type": "string", "format": "time"}, (Scalar("time"), False)),
        ({"enum": ["a", "b c", None]}, (Enumeration("x", ("a", "b c"), ("a", "b_c")), True)),
        ({"const": 5}, (Enumeration("x", (5,), ("Value5",)), False)),
        ({"type": "number", "format": "decimal", "x-precision": 12, "x-scale": 2},
         (Scalar("decimal", precision=12, scale=2), False)),
    ],
)  # fmt: skip
def test_a_schema_is_read_as_its_type(schema: Any, expected: Any) -> None:
    assert json_schema.read(schema, Types(), "x") == expected


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"oneOf": [{"type": "string"}, {"type": "integer"}]}, "/oneOf"),
        ({"allOf": [{"type": "string"}]}, "/type"),
        ({"type": ["string", "integer"]}, "/type"),
        ({"type": "object"}, ""),
        ({"type": "object", "properties": {}, "additionalProperties": True}, "/additionalProperties"),
        ({"type": "object", "properties": {}, "patternProperties": {}}, "/patternProperties"),
        ({"type": "object", "properties": {}, "required": ["a"]}, "/required"),
        ({"type": "string", "minimum": 1}, "/minimum"),
        ({"type": "integer", "maxLength": 1}, "/maxLength"),
        ({"type": "integer", "multipleOf": 5}, "/multipleOf"),
        ({"type": "string", "maxLength": -1}, "/maxLength"),
        ({"type": "string", "format": "email"}, "/format"),
        ({"type": "string", "pattern": "(?=a)b"}, "/pattern"),
        ({"type": "string", "pattern": r"(a)\1"}, "/pattern"),
        ({"type": "string", "pattern": "("}, "/pattern"),
        ({"type": "string", "typo": 1}, "/typo"),
        ({"type": "array", "prefixItems": []}, "/prefixItems"),
        ({"type": "what"}, "/type"),
        ({"$ref": "#/types/Nowhere"}, "/$ref"),
        ({"$ref": "https://example.com/x.json"}, "/$ref"),
        ({"enum": ["a", 1]}, "/enum"),
        ({"enum": []}, "/enum"),
        ({"const": True}, "/const"),
        ("string", ""),
    ],
)
def test_what_is_not_supported_is_refused_with_its_place_and_a_hint(schema: Any, path: str) -> None:
    outer = {"type": "object", "properties": {"a/b": {"type": "array", "items": schema}}}
    with pytest.raises(DocumentsRefused) as refused:
        json_schema.read_types({"X": outer})
    assert f"/types/X/properties/a~1b/items{path}" in {finding.place.path for finding in refused.value.findings}


def test_everything_wrong_is_told_at_once() -> None:
    with pytest.raises(DocumentsRefused) as refused:
        json_schema.read_types({"A": {"type": "array", "items": {"type": "x"}}, "B": {"type": "string", "format": "y"}})
    assert len(refused.value.findings) == 2


def test_a_name_that_only_refers_to_itself_is_refused() -> None:
    with pytest.raises(DocumentsRefused, match="refers to itself"):
        json_schema.read_types({"A": {"$ref": "#/types/B"}, "B": {"type": "array", "items": {"$ref": "#/types/A"}}})


def test_a_default_is_read_as_its_type_and_refused_when_it_does_not_fit() -> None:
    part = {"type": "string", "format": "decimal", "default": "1.50"}
    types = json_schema.read_types({"A": {"type": "object", "properties": {"a": part}}})
    a = types["A"]
    assert isinstance(a, Record)
    assert a["a"].default == Decimal("1.50")
    with pytest.raises(DocumentsRefused, match="/types/A/properties/a/default"):
        json_schema.read_types({"A": {"type": "object", "properties": {"a": part | {"default": "x"}}}})


def test_texts_and_marks_of_a_field_are_kept() -> None:
    part = {"type": "integer", "title": "Number", "description": "counts", "readOnly": True}
    schema = {"type": "object", "properties": {"n": part}, "description": "whole", "title": "Thing"}
    types = json_schema.read_types({"A": schema})
    field = Field("n", Scalar("int64"), False, False, None, "counts", True, "Number")
    assert types["A"] == Record("A", (field,), "whole", "Thing")
    written = json_schema.write_types(types)["A"]
    assert json_schema.read_types({"A": written}) == types


@pytest.mark.parametrize("kind", ["decimal", "time", "duration", "int64"])
def test_the_written_schema_refuses_what_the_reader_refuses(kind: Any) -> None:
    wrong: dict[str, list[Any]] = {
        "decimal": ["x", "1e3", "", "1.234", "12345.1", 100000],
        "time": ["12:00", "25:00:00", "12:00:00Z"],
        "duration": ["P", "P1Y", "PT", "P1DT"],
        "int64": [2**63, 1.5],
    }
    scalar = Scalar("decimal", precision=6, scale=2) if kind == "decimal" else Scalar(kind)
    validator = Draft202012Validator(json_schema.write(scalar))
    assert [value for value in wrong[kind] if validator.is_valid(value)] == []
