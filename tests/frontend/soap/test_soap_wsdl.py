"""The WSDL is valid, and its types are exactly what travels."""

from datetime import UTC
from io import BytesIO
from typing import Any

import pytest
import xmlschema
import zeep
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree
from soap_service import ADDRESS, NS, mount, operations, types

from gateway.frontend.soap import messages, wsdl
from gateway.frontend.soap.mount import SoapMount
from gateway.schema.contract import read_operation
from gateway.schema.json_schema import read_types
from gateway.schema.types import (
    AnyType,
    Array,
    DeclaredError,
    Enumeration,
    Field,
    Operation,
    Record,
    Ref,
    Scalar,
    Type,
    Types,
)
from gateway.schema.xml_codec import record_reader, record_writer
from gateway.snapshot.spec import SoapSpec


def schema_of(offered: dict[str, Operation], known: Types) -> etree.XMLSchema:
    return etree.XMLSchema(wsdl.xsd(NS, offered, known))


def element(record: Record, value: dict[str, Any], known: Types) -> etree._Element:
    root = etree.Element(f"{{{NS}}}{record.name}", nsmap={None: NS})
    record_writer(record, known, NS)(root, value)
    return etree.fromstring(etree.tostring(root))


def test_the_schema_is_valid_for_two_validators():
    tree = wsdl.xsd(NS, operations(), types())
    etree.XMLSchema(tree)
    xmlschema.XMLSchema(etree.tostring(tree).decode())


def test_the_wsdl_has_a_binding_and_a_port_per_soap_version():
    """PROTOCOLS S1."""
    root = wsdl.definitions("shop-v2", NS, operations(), types())
    ports = root.findall(".//{*}port")
    assert [port.get("name") for port in ports] == ["shop-v2-soap11", "shop-v2-soap12"]
    assert [etree.QName(port[0]).namespace for port in ports] == [wsdl.SOAP11_BINDING, wsdl.SOAP12_BINDING]


def test_the_actions_of_the_wsdl_are_accepted_by_the_service():
    root = wsdl.definitions("shop-v2", NS, operations(), types())
    actions = {each.get("soapAction") for each in root.iter() if each.get("soapAction")}
    assert actions == {messages.action_of(NS, name) for name in operations()}


def test_declared_errors_are_in_the_wsdl():
    """PROTOCOLS S4."""
    root = wsdl.definitions("shop-v2", NS, operations(), types())
    faults = root.findall(".//{*}portType/{*}operation[@name='get_order']/{*}fault")
    assert [fault.get("name") for fault in faults] == ["OrderNotFound", "Broken"]


def test_types_may_contain_each_other():
    known = read_types(
        {
            "A": {"type": "object", "properties": {"b": {"$ref": "#/types/B"}}},
            "B": {"type": "object", "properties": {"a": {"type": "array", "items": {"$ref": "#/types/A"}}}},
        }
    )
    operation = Operation("go", "safe", Record("go", ()), Ref("A"))
    schema = schema_of({"go": operation}, known)
    value = {"b": {"a": [{}, {"b": {}}]}}
    assert schema.validate(element(messages.response_record(operation), {"goResult": value}, known))


def test_a_type_may_have_the_name_of_an_operation_or_an_error():
    known = Types({"go": Record("go", (Field("x", Scalar("string")),)), "Lost": Enumeration("Lost", ("a",), ("a",))})
    offered = {
        "go": Operation("go", "safe", Record("i", (Field("x", Ref("go")), Field("y", Ref("Lost")))), None, False,
                        (DeclaredError("Lost", 404, "Lost"),)),
    }  # fmt: skip
    schema = schema_of(offered, known)
    value = {"x": {"x": "text"}, "y": "a"}
    assert schema.validate(element(messages.request_record(offered["go"]), value, known))


def test_one_error_with_two_forms_of_detail_is_refused():
    details = (Record("d", (Field("a", Scalar("string")),)), None)
    offered = {
        f"op{number}": Operation(
            f"op{number}", "safe", Record("i", ()), errors=(DeclaredError("Lost", 404, "Lost", detail),)
        )
        for number, detail in enumerate(details)
    }
    with pytest.raises(ValueError, match="Lost"):
        wsdl.definitions("s", NS, offered, Types())


def test_an_operation_that_would_answer_under_anothers_name_is_refused():
    offered = {name: Operation(name, "safe", Record("i", ())) for name in ("get", "getResponse")}
    with pytest.raises(ValueError, match="getResponse"):
        mount(offered, Types())


def test_a_name_that_no_element_can_have_is_refused():
    with pytest.raises(ValueError, match="get order"):
        mount({"get order": Operation("get order", "safe", Record("i", ()))}, Types())


@pytest.mark.parametrize("namespace", ["", "two words", "http://www.w3.org/2001/XMLSchema", "urn:penstock", "a\x00"])
def test_a_namespace_that_cannot_be_a_services_is_refused(namespace):
    spec = SoapSpec(namespace=namespace, operations=())
    with pytest.raises(ValueError, match="namespace"):
        SoapMount("shop", "v2", spec, {}, Types(), lambda _exchange: "")


def test_an_errors_own_detail_is_in_its_fault():
    known = Types({"Missing": Record("Missing", (Field("id", Scalar("int64")),))})
    error = DeclaredError("Lost", 404, "Lost", Ref("Missing"))
    offered = {"go": Operation("go", "safe", Record("i", ()), errors=(error,))}
    value = {"code": "Lost", "title": "Lost", "data": {"id": 7}}
    assert schema_of(offered, known).validate(element(messages.fault_record(error, known), value, known))


LEAVES: list[tuple[Type, st.SearchStrategy[Any]]] = [
    (Scalar("int32", minimum=-5), st.integers(-5, 2**31 - 1)),
    (Scalar("int64"), st.integers(-(2**63), 2**63 - 1)),
    (Scalar("double"), st.floats(allow_nan=False)),
    (Scalar("decimal", precision=6, scale=2), st.decimals(-9999, 9999, places=2)),
    (Scalar("string", max_length=8), st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=8)),
    (Scalar("boolean"), st.booleans()),
    (Scalar("datetime"), st.datetimes(timezones=st.just(UTC))),
    (Scalar("date"), st.dates()),
    (Scalar("time"), st.times()),
    (Scalar("duration"), st.timedeltas()),
    (Scalar("uuid"), st.uuids()),
    (Scalar("bytes"), st.binary(max_size=8)),
    (Enumeration("Kind", ("a b", "c"), ("a_b", "c")), st.sampled_from(["a b", "c"])),
    (Ref("State"), st.sampled_from(["open", "paid", "sent out"])),
    (Ref("Line"), st.fixed_dictionaries({"sku": st.just("x"), "count": st.integers(1, 9)})),
]  # fmt: skip
"""Types, each with values of it."""


def lists(inner: tuple[Type, st.SearchStrategy[Any]]) -> tuple[Type, st.SearchStrategy[Any]]:
    return Array(inner[0]), st.lists(inner[1], max_size=3)


@st.composite
def fields(draw: st.DrawFn, depth: int = 2) -> tuple[Field, st.SearchStrategy[Any]]:
    """A field named `x`, and values for it; optional ones may be absent, which is None here."""
    type_, values = draw(st.sampled_from(LEAVES))
    if draw(st.booleans()):
        type_, values = lists((type_, values))
        if draw(st.booleans()):
            type_, values = lists((type_, values))
    elif depth and draw(st.booleans()):
        record, values = draw(records(depth - 1))
        type_ = record
    return Field("x", type_, required=draw(st.booleans()), nullable=draw(st.booleans())), values


@st.composite
def records(draw: st.DrawFn, depth: int = 2) -> tuple[Record, st.SearchStrategy[Any]]:
    parts = draw(st.lists(fields(depth), max_size=4))
    named = [(Field(f"f{at}", f.type, f.required, f.nullable), v) for at, (f, v) in enumerate(parts)]
    required = {f.name: st.none() | v if f.nullable else v for f, v in named if f.required}
    optional = {f.name: st.none() | v if f.nullable else v for f, v in named if not f.required}
    return Record("r", tuple(f for f, _ in named)), st.fixed_dictionaries(required, optional=optional)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_what_is_written_is_valid_and_reads_back(data):
    """Whatever the types: our XSD accepts what our codec writes."""
    record, values = data.draw(records())
    known = types()
    operation = Operation("go", "safe", record)
    value = data.draw(values)
    root = element(messages.request_record(operation), value, known)
    schema_of({"go": operation}, known).assertValid(root)
    again = element(
        messages.request_record(operation),
        record_reader(messages.request_record(operation), known, NS)(root, "$"),
        known,
    )
    assert etree.tostring(again) == etree.tostring(root)


def test_any_json_travels_as_text():
    operation = read_operation("go", {"effect": "safe", "input": {"type": "object", "properties": {"a": {}}}}, Types())
    assert isinstance(operation.input["a"].type, AnyType)
    root = element(messages.request_record(operation), {"a": {"b": [1, None]}}, Types())
    schema_of({"go": operation}, Types()).assertValid(root)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_zeep_parses_what_is_written(data):
    """Whatever the types: zeep finds each field that is there."""
    record, values = data.draw(records(depth=1))
    known = types()
    operation = Operation("go", "safe", record)
    value = data.draw(values)
    root = element(messages.request_record(operation), value, known)
    document = wsdl.Template(wsdl.definitions("s", NS, {"go": operation}, known)).at(f"http://127.0.0.1{ADDRESS}")
    with zeep.Client(BytesIO(document)) as client:  # type: ignore[arg-type]
        parsed = client.wsdl.types.get_element(f"{{{NS}}}go").parse(root, client.wsdl.types)
    for name, given_value in value.items():
        kind = record[name].type
        if isinstance(kind, Scalar) and kind.kind in ("int32", "int64", "boolean", "decimal"):
            assert parsed[name] == given_value
        elif isinstance(given_value, list) and given_value:
            assert len(parsed[name]) == len(given_value)


def test_many_types_that_refer_to_each_other_are_laid_out():
    """spyne alone runs out of stack on such a graph."""
    names = [f"T{number}" for number in range(1200)]
    known = Types(
        {
            name: Record(name, (Field("next", Ref(names[(at + 1) % len(names)]), required=False),))
            for at, name in enumerate(names)
        }
    )
    offered = {"go": Operation("go", "safe", Record("i", ()), Ref("T0"))}
    assert len(wsdl.xsd(NS, offered, known).findall("{*}complexType")) == len(names)
    wsdl.definitions("s", NS, offered, known)


def test_a_type_that_xml_cannot_name_is_refused():
    known = Types({"my type": Record("my type", ())})
    offered = {"go": Operation("go", "safe", Record("i", ()), Ref("my type"))}
    with pytest.raises(ValueError, match="my type"):
        wsdl.xsd(NS, offered, known)


def test_building_again_keeps_nothing_of_the_last_one():
    """A worker publishes for months; spyne keeps what it was told, unless it is told less."""
    wsdl.definitions("s", NS, operations(), types())
    before = len(wsdl._spyne_registry.applications)
    wsdl.definitions("other", NS, operations(), types())
    assert len(wsdl._spyne_registry.applications) == before
