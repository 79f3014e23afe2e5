"""The OpenAPI document: valid, and made of what the endpoints do."""

from datetime import date
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import validate
from rest_harness import Api, RecordingWire

from gateway.core.chain import Chain
from gateway.core.exchange import Exchange, Head
from gateway.frontend.rest.document import document, json_document
from gateway.frontend.rest.formats import exact
from gateway.frontend.rest.openapi import openapi
from gateway.frontend.rest.problems import render
from gateway.schema.contract import read_operation
from gateway.schema.json_schema import read_types
from gateway.snapshot.spec import (
    Binding,
    Contract,
    EndpointSpec,
    LifecycleSpec,
    OperationSpec,
    StepSpec,
    VersionSpec,
)

TEXT = {"type": "string"}
INT = {"type": "integer", "format": "int64"}
LINE = {"type": "object", "properties": {"sku": TEXT, "quantity": INT}, "required": ["sku"]}
ORDER = {
    "type": "object",
    "properties": {
        "id": INT,
        "lines": {"type": "array", "items": {"$ref": "#/types/Line"}},
        "paid": {"$ref": "#/types/State"},
    },
    "required": ["lines"],
}
TYPES = {"Line": LINE, "Order": ORDER, "State": {"enum": ["open", "paid"]}}
KEYS = StepSpec(id="keys", use="api-key", scope="shop@v2")


def contract(input_: dict[str, Any], output: Any, required: list[str] | None = None, **more: Any) -> dict[str, Any]:
    needed = list(input_) if required is None else required
    return {
        "effect": "safe",
        "input": {"type": "object", "properties": input_, "required": needed},
        "output": output,
    } | more


CONTRACTS = {
    "get_order": contract(
        {"id": INT, "trace": TEXT},
        {"$ref": "#/types/Order"},
        ["id"],
        errors={"OrderNotFound": {"status": 404, "title": "No such order", "detail": {"$ref": "#/types/Line"}}},
        summary="One order",
    ),
    "create_order": contract(
        {"order": {"$ref": "#/types/Order"}}, {"anyOf": [{"$ref": "#/types/Order"}, {"type": "null"}]}
    ),
    "find": contract(
        {
            "state": {"$ref": "#/types/State"},
            "tags": {"type": "array", "items": TEXT},
            "after": {"type": ["string", "null"], "description": "Where to go on."},
            "where": {},
            "limit": INT | {"default": 10},
        },
        {"type": "array", "items": {"$ref": "#/types/Order"}},
        ["state", "tags", "after"],
    ),
    "drop": contract({"order": INT}, None),
    "send": contract({"payload": {}}, {"type": "object", "properties": {"id": TEXT}, "required": ["id"]}),
}


def endpoint(key: str, operation: str = "", steps: tuple[StepSpec, ...] = (KEYS,), **more: Any) -> EndpointSpec:
    method, path = key.split(" ")
    return EndpointSpec(key=key, protocol="rest", method=method, path=path, operation=operation, steps=steps, **more)


ENDPOINTS = (
    endpoint("GET /orders/{id}", "get_order", binding=Binding(headers={"trace": "X-Trace"})),
    endpoint("DELETE /orders/{order}", "drop", binding=Binding()),
    endpoint("POST /orders", "create_order", binding=Binding(body="order", status=201)),
    endpoint("GET /orders", "find", steps=(KEYS, StepSpec(id="burst", use="rate-limit", scope="shop@v2"))),
    endpoint("POST /events", "send", steps=(), binding=Binding(body="payload", status=202)),
    endpoint("ANY /erp/**", relay="erp", relay_path="/api/**", summary="The ERP"),
    endpoint("ANY /erp-status/{part}", relay="erp"),
    EndpointSpec(key="GET /openapi.json", protocol="document", method="GET", path="/openapi.json", document="openapi"),
)


def make(endpoints: tuple[EndpointSpec, ...] = ENDPOINTS, server_url: str = "", **version: Any) -> dict[str, Any]:
    types = read_types(TYPES)
    operations = {name: read_operation(name, given, types) for name, given in CONTRACTS.items()}
    specs = {
        name: OperationSpec(name=name, contract=Contract(**given), kind="topic" if name == "send" else "python")
        for name, given in CONTRACTS.items()
    }
    spec = VersionSpec(
        component="shop",
        version="v2",
        revision="r1",
        base_path="/shop/{version}",
        endpoints=endpoints,
        operations=specs,
        **version,
    )
    return openapi(spec, operations, types, server_url)


def test_the_document_is_valid_openapi() -> None:
    """PROTOCOLS R7."""
    validate(make())  # type: ignore[arg-type]


def test_it_says_whose_document_it_is_and_where_the_version_lives() -> None:
    made = make(title="Shop", description="Orders.", server_url="https://api.example/")
    assert made["info"] == {"title": "Shop", "version": "v2", "description": "Orders."}
    assert made["servers"] == [{"url": "https://api.example/shop/v2"}]
    assert make()["servers"] == [{"url": "/shop/v2"}]


def test_named_types_are_components_and_references_point_at_them() -> None:
    made = make()
    assert set(made["components"]["schemas"]) == {"Line", "Order", "State", "Problem"}
    assert made["components"]["schemas"]["Order"]["properties"]["lines"]["items"] == {
        "$ref": "#/components/schemas/Line"
    }
    assert "#/types/" not in str(made)


def test_parameters_say_where_they_go_and_whether_they_must_be_there() -> None:
    found = {part["name"]: part for part in make()["paths"]["/orders"]["get"]["parameters"]}
    assert {name: part["required"] for name, part in found.items()} == {
        "state": True,
        "tags": False,  # no item at all is the empty list
        "after": False,  # null cannot be written in a query
        "where": False,
        "limit": False,
    }
    assert found["after"]["description"] == "Where to go on. Left out: null."
    assert found["after"]["schema"] == {"type": "string"}
    assert found["limit"]["schema"]["default"] == 10
    assert found["where"]["content"] == {"application/json": {"schema": {}}}
    assert (found["tags"]["style"], found["tags"]["explode"]) == ("form", True)


def test_a_body_and_its_absence_are_described() -> None:
    paths = make()["paths"]
    assert paths["/orders"]["post"]["requestBody"] == {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Order"}}},
    }
    assert "requestBody" not in paths["/orders"]["get"]


def test_responses_are_those_that_can_happen() -> None:
    paths = make()["paths"]
    assert set(paths["/orders/{id}"]["get"]["responses"]) == {"200", "400", "401", "403", "404", "406", "default"}
    assert set(paths["/orders"]["get"]["responses"]) == {"200", "400", "401", "403", "406", "429", "default"}
    assert set(paths["/orders"]["post"]["responses"]) == {"201", "400", "401", "403", "406", "413", "415", "default"}
    assert set(paths["/events"]["post"]["responses"]) == {"202", "400", "406", "413", "415", "default"}
    assert set(paths["/orders/{id}"]["delete"]["responses"]) == {"204", "400", "401", "403", "404", "default"}
    assert "Location" in paths["/events"]["post"]["responses"]["202"]["headers"]


def test_a_declared_error_is_named_with_its_detail() -> None:
    response = make()["paths"]["/orders/{id}"]["get"]["responses"]["404"]
    assert response["description"] == "OrderNotFound: No such order"
    reference, detail = response["content"]["application/problem+json"]["schema"]["allOf"]
    assert reference == {"$ref": "#/components/schemas/Problem"}
    assert set(detail["properties"]) == {"sku", "quantity"}


def test_templates_that_differ_in_names_alone_are_one_path() -> None:
    item = make()["paths"]["/orders/{id}"]
    assert [part["name"] for part in item["delete"]["parameters"]] == ["id"]


def test_a_relay_is_described_or_listed() -> None:
    made = make()
    assert made["x-penstock-relays"] == [{"route": "ANY /erp/**", "summary": "The ERP"}]
    assert set(made["paths"]["/erp-status/{part}"]) == {"get", "put", "post", "delete", "patch"}


def test_security_schemes_come_from_the_steps() -> None:
    made = make()
    assert made["components"]["securitySchemes"] == {"api-key": {"type": "apiKey", "in": "header", "name": "X-API-KEY"}}
    assert made["paths"]["/orders"]["get"]["security"] == [{"api-key": []}]
    assert made["paths"]["/events"]["post"]["security"] == []


def test_different_schemes_of_one_kind_get_names_of_their_own() -> None:
    other = StepSpec(id="keys", use="api-key", config={"query": "key"}, when={"method": "GET"}, scope="x")
    made = make((endpoint("GET /a", "find"), endpoint("GET /b", "find", steps=(other,))))
    assert made["components"]["securitySchemes"]["api-key-2"] == {"type": "apiKey", "in": "query", "name": "key"}
    assert made["paths"]["/b"]["get"]["security"] == [{"api-key-2": []}, {}]
    assert {made["paths"][path]["get"]["operationId"] for path in ("/a", "/b")} == {"find", "find_2"}


def test_a_deprecated_version_says_so_everywhere() -> None:
    made = make(lifecycle=LifecycleSpec(status="deprecated"))
    assert all(operation["deprecated"] for item in made["paths"].values() for operation in item.values())


def test_a_version_chosen_by_header_names_the_header() -> None:
    made = make((endpoint("GET /orders", "find"),), select_by=("header",))
    header = made["paths"]["/orders"]["get"]["parameters"][-1]
    assert (header["name"], header["required"], header["schema"]["enum"]) == ("Api-Version", True, ["v2"])
    validate(made)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ways", "places"),
    [
        (("query",), [("query", "api-version", True)]),
        (("header", "query"), [("header", "Api-Version", False), ("query", "api-version", False)]),
        (("date",), [("header", "Api-Version", True)]),
        (("query", "date"), [("query", "api-version", True)]),
        (("header", "media-type"), [("header", "Api-Version", False)]),
        (("media-type",), []),
    ],
)
def test_every_way_to_choose_the_version_is_described(ways: Any, places: list[Any]) -> None:
    made = make((endpoint("GET /orders", "find"),), select_by=ways, released=date(2026, 3, 1))
    operation = made["paths"]["/orders"]["get"]
    wanted = {"Api-Version", "api-version"}
    found = [(each["in"], each["name"], each["required"]) for each in operation["parameters"] if each["name"] in wanted]
    assert found == places
    assert ("application/vnd.shop.v2+json" in operation["responses"]["200"]["content"]) == ("media-type" in ways)
    validate(made)  # type: ignore[arg-type]


def test_a_version_chosen_by_date_says_when_it_was_released() -> None:
    made = make((endpoint("GET /orders", "find"),), select_by=("date",), released=date(2026, 3, 1))
    named = made["paths"]["/orders"]["get"]["parameters"][-1]
    assert "released on 2026-03-01" in named["description"]
    assert named["schema"] == {"type": "string", "format": "date"}


def test_formats_say_what_the_codecs_take() -> None:
    written = {"type": "array", "items": {"type": "string", "format": "duration", "pattern": "^P"}}
    assert "format" not in exact(written)["items"]
    assert exact({"type": "number", "format": "float", "minimum": 0})["minimum"] == 0
    assert exact({"type": "number", "format": "float"})["maximum"] == pytest.approx(3.4028234663852886e38)
    assert exact({"properties": {"format": {"type": "string"}}}) == {"properties": {"format": {"type": "string"}}}


async def test_a_refusal_is_what_the_problem_schema_says() -> None:
    answer = await Api("GET /a/{id}", {"id": INT}, TEXT).send(b"x", query=b"y=1")
    jsonschema.validate(answer.json, make()["components"]["schemas"]["Problem"])


def ask(serve: Any, if_none_match: bytes | None = None) -> Any:
    block = b"" if if_none_match is None else b"\r\nIf-None-Match: " + if_none_match
    head = Head(b"GET", b"/openapi.json", block=block)
    return serve(Exchange("r", head, RecordingWire(b""), Chain("x", (), render)))


def test_the_document_is_served_with_an_etag() -> None:
    """PROTOCOLS R8."""
    reply = ask(json_document({"openapi": "3.1.0"}))
    assert (reply.status, reply.get(b"content-type")) == (200, b"application/json")
    tag = reply.get(b"etag")
    assert ask(json_document({"openapi": "3.1.0"}), tag).status == 304


@pytest.mark.parametrize("given", [b"*", b"W/%s", b'"other", %s', b'"a,b",W/%s'])
def test_a_client_that_has_the_document_gets_304(given: bytes) -> None:
    serve = document(b"x", b"text/plain")
    reply = ask(serve, given.replace(b"%s", ask(serve).get(b"etag")))
    assert (reply.status, reply.body) == (304, b"")


@pytest.mark.parametrize("given", [b"", b'"other"', b"unquoted"])
def test_a_client_that_has_another_gets_the_document(given: bytes) -> None:
    assert ask(document(b"x", b"text/plain"), given).status == 200
