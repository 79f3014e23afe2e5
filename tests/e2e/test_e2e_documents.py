"""What a version says of itself: valid for the tools that read it, and true."""

from __future__ import annotations

import io
from typing import Any

import pytest
import requests
import schemathesis
import zeep
from hypothesis import HealthCheck, given, settings
from lxml import etree
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.e2e.gateway_client import Node

EDMX = "{http://docs.oasis-open.org/odata/ns/edmx}"
EDM = "{http://docs.oasis-open.org/odata/ns/edm}"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
versions = pytest.mark.parametrize("version", ["v1", "v2"])


@versions
def test_the_openapi_document_is_valid(node: Node, version: str) -> None:
    """PROTOCOLS R7."""
    answer = node.call("GET", f"/shop/{version}/openapi.json")
    assert answer.headers["Content-Type"].startswith("application/json")
    document = answer.json()
    OpenAPIV31SpecValidator(document).validate()
    assert document["info"]["version"] == version
    assert document["servers"][0]["url"].endswith(f"/shop/{version}")
    assert ("/turnover" in document["paths"]) == (version == "v2")


@versions
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: f"{mode.value} data")
def test_what_the_openapi_document_says_is_what_the_endpoint_does(
    node: Node, key: str, version: str, mode: GenerationMode
) -> None:
    """PROTOCOLS R7: true for schemathesis."""
    document = node.call("GET", f"/shop/{version}/openapi.json").json()
    del document["components"]["securitySchemes"]  # the key is sent always: it is no part of the data
    for operation in (each for path in document["paths"].values() for each in path.values()):
        operation.pop("security", None)
    schema = schemathesis.openapi.from_dict(document)
    tried = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        if mode == GenerationMode.NEGATIVE and not _can_be_wrong(document["paths"][operation.path][operation.method]):
            continue

        @settings(max_examples=10, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(generation_mode=mode))
        def holds(case: Any) -> None:
            case.call_and_validate(
                base_url=f"{node.url}/shop/{version}", headers={"X-API-KEY": key}, checks=CHECKS, session=session
            )

        with requests.Session() as session:
            holds()
        tried += 1
    assert tried >= 3


def _can_be_wrong(operation: dict[str, Any]) -> bool:
    """Any text is a path parameter that is a string."""
    schemas = [each["schema"] for each in operation.get("parameters", []) if each["in"] != "path"]
    schemas += [each["schema"] for each in operation.get("parameters", []) if each["schema"].get("type") != "string"]
    return bool(schemas) or "requestBody" in operation


@versions
@pytest.mark.parametrize("query", ["wsdl", "WSDL"])
def test_the_wsdl_is_read_by_zeep_with_both_bindings(node: Node, version: str, query: str) -> None:
    """PROTOCOLS S1."""
    answer = node.call("GET", f"/shop/{version}/soap?{query}")
    assert answer.headers["Content-Type"].startswith("text/xml")
    with zeep.Client(io.BytesIO(answer.content)) as client:
        service = client.wsdl.services[f"shop-{version}"]
        addresses = {name: port.binding_options["address"] for name, port in service.ports.items()}
        assert addresses == {
            f"shop-{version}-soap11": f"{node.url}/shop/{version}/soap",
            f"shop-{version}-soap12": f"{node.url}/shop/{version}/soap",
        }
        for port in service.ports.values():
            assert ("cancel_order" in port.binding._operations) == (version == "v2")


@versions
def test_the_metadata_names_every_set_and_import(node: Node, version: str) -> None:
    """PROTOCOLS O2."""
    answer = node.call("GET", f"/shop/{version}/odata/$metadata")
    assert answer.headers["Content-Type"].startswith("application/xml")
    root = etree.fromstring(answer.content)
    assert (root.tag, root.get("Version")) == (f"{EDMX}Edmx", "4.0")
    container = root.find(f".//{EDM}EntityContainer")
    assert container is not None
    sets = {each.get("Name") for each in container.findall(f"{EDM}EntitySet")}
    expected = {"Customers", "Products", "Orders", "OrderLines"} | ({"Turnover"} if version == "v2" else set())
    assert sets == expected
    imports = {each.get("Name") for each in container.findall(f"{EDM}FunctionImport")}
    assert imports == {"get_order", "find_tax"}
    types = {each.get("Name") for tag in ("EntityType", "ComplexType", "EnumType") for each in root.iter(f"{EDM}{tag}")}
    schema = root.find(f".//{EDM}Schema")
    assert schema is not None
    space = schema.get("Namespace")
    used = {each.get("EntityType") for each in container.findall(f"{EDM}EntitySet")}
    assert used <= {f"{space}.{name}" for name in types}
    for key_ref in root.iter(f"{EDM}PropertyRef"):
        owner = key_ref.getparent().getparent()  # type: ignore[union-attr]
        assert key_ref.get("Name") in {each.get("Name") for each in owner.findall(f"{EDM}Property")}


@versions
def test_the_service_document_leads_to_every_set(node: Node, key: str, version: str) -> None:
    """PROTOCOLS O1."""
    for path in ("odata", "odata/"):
        body = node.call("GET", f"/shop/{version}/{path}").json()
        assert body["@odata.context"] == f"{node.url}/shop/{version}/odata/$metadata"
        for each in body["value"]:
            if each.get("kind", "EntitySet") == "EntitySet":
                answer = node.call("GET", f"/shop/{version}/odata/{each['url']}?$top=1", key)
                assert answer.status_code == 200


def test_protected_documents_need_the_key(node: Node) -> None:
    """The laboratory's documents are under its policies; the shop's are public."""
    own = node.key("lab")
    for path in ("openapi.json", "soap?wsdl", "odata", "odata/$metadata"):
        assert node.call("GET", f"/lab/{path}").status_code == 401
        assert node.call("GET", f"/lab/{path}", own).status_code == 200


def test_documents_carry_the_gateways_own_steps(node: Node) -> None:
    assert node.call("GET", "/shop/v2/openapi.json").headers["X-Content-Type-Options"] == "nosniff"
