"""Annotated functions as operations."""

from __future__ import annotations

import enum
from decimal import Decimal
from typing import Any

import orjson
import pytest
import sample_processes as sample
from pydantic import BaseModel

from gateway import Problem, process
from gateway.core.findings import DocumentsRefused
from gateway.runtime.contracts import Process, read_process
from gateway.schema.contract import read_operation
from gateway.schema.json_schema import read_types
from gateway.schema.types import AnyType, Array, Enumeration, Field, Record, Ref, Scalar


def field_of(found: Process, name: str) -> Field:
    return found.operation.input[name]


def test_parameters_become_the_input_and_the_context_is_left_out() -> None:
    found = read_process(sample.get_order)
    assert found.operation.input == Record("get_order_input", (Field("id", Scalar("int64")),))
    assert found.context == "context"
    assert found.operation.output == Ref("Order")


def test_the_docstring_is_summary_and_description() -> None:
    operation = read_process(sample.get_order).operation
    assert (operation.summary, operation.description) == ("Finds an order.", "By its number.")


def test_declared_errors_are_part_of_the_contract() -> None:
    (error,) = read_process(sample.get_order).operation.errors
    assert (error.code, error.status, error.title) == ("NoSuchOrder", 404, "No such order")


def test_a_pydantic_model_becomes_a_record_with_its_facets_and_defaults() -> None:
    line = read_process(sample.get_order).types["Line"]
    assert line == Record(
        "Line",
        (
            Field("sku", Scalar("string", 1, 8, "^[A-Z0-9]+$"), description="what"),
            Field("quantity", Scalar("int64", minimum=Decimal(1), maximum=Decimal(999)), False, default=1),
            Field("price", Scalar("decimal", precision=12, scale=2)),
            Field("colour", Ref("Colour"), False, default="red"),
        ),
        "One line.",
    )


def test_a_model_that_contains_itself_refers_to_itself() -> None:
    order = read_process(sample.get_order).types["Order"]
    assert isinstance(order, Record)
    assert order["parent"] == Field("parent", Ref("Order"), False, True)
    assert order["lines"].type == Array(Ref("Line"))


def test_an_alias_is_the_name_in_the_contract() -> None:
    order = read_process(sample.get_order).types["Order"]
    assert "shownAs" in order
    assert "shown" not in order


def test_a_literal_is_an_enumeration_named_by_its_place() -> None:
    order = read_process(sample.get_order).types["Order"]
    assert isinstance(order, Record)
    assert order["state"].type == Enumeration("Order_state", ("open", "closed"), ("open", "closed"))


def test_an_enum_keeps_the_names_of_its_members() -> None:
    assert read_process(sample.get_order).types["Colour"] == Enumeration(
        "Colour", ("red", "light blue"), ("RED", "LIGHT_BLUE"), "What it looks like."
    )


def test_a_dataclass_becomes_a_record() -> None:
    assert read_process(sample.move).types["Address"] == Record(
        "Address",
        (
            Field("street", Scalar("string")),
            Field("zip", Scalar("string", pattern="^[0-9]{5}$"), False, default="00000"),
            Field("tags", Array(Scalar("string")), False),
            Field("size", Ref("Size"), False, default=1),
        ),
    )


def test_a_typed_dict_becomes_a_record_with_its_optional_keys() -> None:
    row = Record("Row", (Field("a", Scalar("int64")), Field("b", Ref("Address"), False)))
    assert read_process(sample.move).types["Row"] == row


@pytest.mark.parametrize(
    ("name", "type_"),
    [
        ("i", Scalar("int32")), ("f", Scalar("double")), ("d", Scalar("decimal")), ("s", Scalar("string")),
        ("b", Scalar("boolean")), ("raw", Scalar("bytes")), ("at", Scalar("datetime")), ("day", Scalar("date")),
        ("hour", Scalar("time")), ("span", Scalar("duration")), ("key", Scalar("uuid")), ("free", AnyType()),
        ("size", Ref("Size")), ("pair", Array(Scalar("int64"))),
    ],
)  # fmt: skip
def test_every_plain_annotation_has_its_type(name: str, type_: Any) -> None:
    assert field_of(read_process(sample.scalars), name).type == type_


@pytest.mark.parametrize("function", [sample.get_order, sample.double, sample.scalars, sample.move, sample.forget])
def test_a_described_contract_reads_back_as_the_same_operation(function: Any) -> None:
    found = read_process(function)
    described = orjson.loads(orjson.dumps(found.described()))
    types = read_types(described["types"])
    assert read_operation(found.name, described["contract"], types) == found.operation
    assert {name: types[name] for name in found.types} == dict(found.types)


def test_processes_of_one_module_share_its_digest() -> None:
    first, second = read_process(sample.get_order), read_process(sample.double)
    assert first.digest == second.digest
    assert len(first.digest) == 32


def bare(id) -> int:  # type: ignore[no-untyped-def]
    return 1


def silent(id: int):  # type: ignore[no-untyped-def]
    return 1


def many(*ids: int) -> int:
    return 1


def either(id: int | str) -> int:
    return 1


def mapping(id: dict[str, int]) -> int:
    return 1


def fixed(id: tuple[int, str]) -> int:
    return 1


def listless(id: list) -> int:  # type: ignore[type-arg]
    return 1


def strange(id: complex) -> int:
    return 1


def misfit(id: int = "x") -> int:  # type: ignore[assignment]
    return 1


def elsewhere(id: Nowhere) -> int:  # type: ignore[name-defined]  # noqa: F821
    return 1


async def endless(id: int):  # type: ignore[no-untyped-def]
    yield 1


class Bits(enum.Flag):
    A = 1


def flags(id: Bits) -> int:
    return 1


class Open(BaseModel, extra="allow"):
    a: int


def opened(id: Open) -> int:
    return 1


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (bare, "Write id: int"), (silent, "Write -> Order"), (many, "one named parameter"),
        (either, "one record with optional fields"), (mapping, "TypedDict, or Any"), (fixed, "or tuple[X, ...]"),
        (listless, "Write list[X]"), (strange, "Use a pydantic model"), (misfit, "Change one of the two"),
        (elsewhere, "top level"), (endless, "Return a list"), (flags, "Give it such values"), (opened, "extra"),
    ],
)  # fmt: skip
def test_what_makes_no_contract_is_refused_with_its_line_and_the_way_out(function: Any, expected: str) -> None:
    with pytest.raises(DocumentsRefused) as refused:
        read_process(process(function))
    (finding,) = refused.value.findings
    assert finding.place.file == __file__
    assert finding.place.line == function.__code__.co_firstlineno
    assert expected in f"{finding.message} {finding.hint}"


def test_an_error_without_a_status_of_errors_is_refused() -> None:
    class Fine(Problem):
        status = 200

    @process(raises=[Fine])
    def run() -> int:
        return 1

    with pytest.raises(DocumentsRefused, match="400 to 599"):
        read_process(run)
