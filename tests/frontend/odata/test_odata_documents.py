from __future__ import annotations

from typing import Any

import pytest
from lxml import etree

from gateway.frontend.odata.mount import ODataMount
from gateway.schema.json_schema import read_types
from gateway.snapshot.spec import EntitySetSpec, ODataSpec

ROOT = "https://api.example/shop/v2/odata"
EDM = {"e": "http://docs.oasis-open.org/odata/ns/edm"}


@pytest.fixture
async def metadata(service: Any) -> etree._Element:
    status, body, reply = await service.get("$metadata")
    assert (status, reply.get(b"content-type")) == (200, b"application/xml;charset=utf-8")
    return etree.fromstring(body)


def attributes(root: etree._Element, path: str) -> dict[str, str]:
    (found,) = root.findall(f".//{path}", EDM)
    return dict(found.attrib)


async def test_the_service_document_lists_the_sets(service: Any) -> None:
    """PROTOCOLS O1."""
    for path in ("", "/"):
        status, body, _ = await service.get(path)
        assert status == 200
    assert body == {
        "@odata.context": f"{ROOT}/$metadata",
        "value": [
            {"name": "Orders", "kind": "EntitySet", "url": "Orders"},
            {"name": "Lines", "kind": "EntitySet", "url": "Lines"},
        ],
    }


def test_an_entity_type_has_its_key_and_facets(metadata: etree._Element) -> None:
    """PROTOCOLS O2."""
    order = ".//e:EntityType[@Name='Order']"
    assert [key.get("Name") for key in metadata.findall(f"{order}/e:Key/e:PropertyRef", EDM)] == ["id"]
    assert attributes(metadata, "e:EntityType[@Name='Order']/e:Property[@Name='total']") == {
        "Name": "total",
        "Type": "Edm.Decimal",
        "Precision": "12",
        "Scale": "2",
        "Nullable": "false",
    }
    assert attributes(metadata, "e:EntityType[@Name='Order']/e:Property[@Name='customer']")["MaxLength"] == "40"
    assert "Nullable" not in attributes(metadata, "e:EntityType[@Name='Order']/e:Property[@Name='placed']")
    assert attributes(metadata, "e:EntityType[@Name='Order']/e:Property[@Name='state']")["Type"] == "Example.Shop.State"


def test_other_types_are_complex_and_enumerations(metadata: etree._Element) -> None:
    assert len(metadata.findall(".//e:ComplexType[@Name='Tax']/e:Property", EDM)) == 2
    members = metadata.findall(".//e:EnumType[@Name='State']/e:Member", EDM)
    assert [(member.get("Name"), member.get("Value")) for member in members] == [("open", "0"), ("shipped", "1")]


def test_safe_operations_are_functions_and_writing_ones_actions(metadata: etree._Element) -> None:
    assert attributes(metadata, "e:Function[@Name='find_tax']/e:ReturnType")["Type"] == "Example.Shop.Tax"
    assert attributes(metadata, "e:FunctionImport[@Name='find_tax']")["Function"] == "Example.Shop.find_tax"
    assert attributes(metadata, "e:ActionImport[@Name='create_order']")["Action"] == "Example.Shop.create_order"
    assert attributes(metadata, "e:Action[@Name='create_order']/e:Parameter[@Name='note']") == {
        "Name": "note",
        "Type": "Edm.String",
    }


def test_every_type_that_is_named_is_there(metadata: etree._Element) -> None:
    namespace = "Example.Shop."
    schema = metadata.find(".//e:Schema", EDM)
    assert schema is not None
    declared = {element.get("Name") for element in schema}
    used = {
        value.removeprefix("Collection(").removesuffix(")")
        for element in schema.iter()
        for name in ("Type", "EntityType", "Function", "Action")
        if (value := element.get(name)) is not None
    }
    assert {name for name in used if not name.startswith("Edm.")} <= {f"{namespace}{name}" for name in declared}


async def test_metadata_is_cached_by_its_tag(service: Any) -> None:
    _, _, reply = await service.get("$metadata")
    tag = (reply.get(b"etag") or b"").decode()
    status, body, _ = await service.get("$metadata", If_None_Match=f'"other", {tag}')
    assert (status, body) == (304, b"")


@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [
        ({"Accept": "text/html"}, "", 406),
        ({"Accept": "application/json"}, "$format=xml", 200),
        ({"Accept": "application/atomsvc+xml;q=0.8, application/xml;q=0.7"}, "", 200),
        ({}, "$format=atom", 406),
        ({"OData_MaxVersion": "2.0"}, "", 400),
    ],
)
async def test_metadata_is_xml_where_it_may(service: Any, headers: dict[str, str], query: str, status: int) -> None:
    problem_or_document = await service.get("$metadata", query, **headers)
    assert problem_or_document[0] == status


def build(types: dict[str, Any], **sets: EntitySetSpec) -> ODataMount:
    return ODataMount("a", "v1", ODataSpec(namespace="A", entity_sets=sets), {}, read_types(types), lambda _: ROOT)


def test_a_key_that_is_no_property_is_refused() -> None:
    record = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    with pytest.raises(ValueError, match="the key id is no property of Thing"):
        build({"Thing": record}, Things=EntitySetSpec(name="Things", type="Thing", key=("id",)))


def test_any_json_has_no_place_in_odata() -> None:
    record = {"type": "object", "properties": {"a": {"type": "string"}, "b": {}}, "required": ["a"]}
    with pytest.raises(ValueError, match="any JSON"):
        build({"Thing": record}, Things=EntitySetSpec(name="Things", type="Thing", key=("a",)))


async def test_metadata_is_json_where_it_is_asked_for(service: Any) -> None:
    """PROTOCOLS O2."""
    for query, headers in (("$format=json", {}), ("", {"Accept": "application/json"})):
        status, body, reply = await service.get("$metadata", query, **headers)
        assert (status, reply.get(b"odata-version")) == (200, b"4.01")
    assert (body["$Version"], body["$EntityContainer"]) == ("4.01", "Example.Shop.Container")
    schema = body["Example.Shop"]
    assert schema["Order"]["$Key"] == ["id"]
    assert schema["Order"]["total"] == {"$Type": "Edm.Decimal", "$Precision": 12, "$Scale": 2}
    assert schema["Order"]["customer"] == {"$MaxLength": 40}
    assert schema["Order"]["placed"]["$Nullable"] is True
    assert schema["State"] == {"$Kind": "EnumType", "open": 0, "shipped": 1}
    assert schema["find_tax"][0]["$ReturnType"] == {"$Type": "Example.Shop.Tax"}
    assert schema["find_tax"][0]["$Parameter"][1]["@Org.OData.Core.V1.OptionalParameter"] is True
    assert schema["Container"]["create_order"] == {"$Action": "Example.Shop.create_order"}
    assert schema["Container"]["Orders"]["@Org.OData.Capabilities.V1.SearchRestrictions"] == {"Searchable": False}
