"""The OpenAPI 3.1 document of a version: made of the same bindings and types that its endpoints are built of, so that
what it says is what they do (PROTOCOLS R7)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from gateway.frontend.rest.binding import bind, template_parameters
from gateway.frontend.rest.choosing import naming_parameters
from gateway.frontend.rest.describe import PROBLEM, body, parameter, problem_response, success
from gateway.frontend.rest.formats import exact
from gateway.frontend.rest.security import SCHEMES, SchemeOf, Security, limits
from gateway.schema import json_schema
from gateway.schema.types import DeclaredError, Operation, Record, Type, Types
from gateway.snapshot.choice import vendor_type
from gateway.snapshot.spec import EndpointSpec, VersionSpec

Document = dict[str, Any]

JSON: Final = "application/json"
_TEMPLATE: Final = re.compile(r"\{[^{}]+\}")
_METHODS: Final = ("get", "put", "post", "delete", "patch")
_BODY_METHODS: Final = ("put", "post", "patch")


def openapi(
    version: VersionSpec,
    operations: Mapping[str, Operation],
    types: Types,
    server_url: str = "",
    security: Mapping[str, SchemeOf] = SCHEMES,
) -> Document:
    """`server_url` stands before the version's root: `https://api.example`, or empty for a URL relative to the
    document's own host. `security` makes a scheme of an authenticating step's configuration, by its kind.
    Relays with `**` are listed under `x-penstock-relays`: OpenAPI has no way to describe them."""
    return _Writer(version, operations, types, server_url, Security(security, {})).document()


def _reference(name: str) -> str:
    return "#/components/schemas/" + name


class _Writer:
    """Builds one document."""

    def __init__(
        self,
        version: VersionSpec,
        operations: Mapping[str, Operation],
        types: Types,
        server_url: str,
        security: Security,
    ) -> None:
        self.version = version
        self.operations = operations
        self.types = types
        self.server_url = server_url
        self.security = security
        self.paths: dict[str, dict[str, Any]] = {}
        self.shapes: dict[str, str] = {}
        self.ids: set[str] = set()
        self.problem = "Problem"
        while self.problem in types:
            self.problem += "_"

    def document(self) -> Document:
        relays = [spec for spec in self._endpoints() if spec.relay and "*" in spec.path]
        for spec in self._endpoints():
            if spec not in relays:
                self._endpoint(spec)
        version = self.version
        schemas = json_schema.write_types(self.types, _reference) | {self.problem: PROBLEM}
        written: Document = {
            "openapi": "3.1.0",
            "info": {"title": version.title or version.component, "version": version.version},
            "servers": [{"url": self.server_url.rstrip("/") + version.root}],
            "paths": self.paths,
            "components": {"schemas": exact(schemas), "securitySchemes": self.security.schemes},
        }
        if version.description:
            written["info"]["description"] = version.description
        if relays:
            written["x-penstock-relays"] = [
                {"route": spec.key} | ({"summary": spec.summary} if spec.summary else {}) for spec in relays
            ]
        return written

    def _endpoints(self) -> list[EndpointSpec]:
        return [spec for spec in self.version.endpoints if spec.protocol == "rest"]

    def _endpoint(self, spec: EndpointSpec) -> None:
        """Templates that differ in names alone are one path to OpenAPI: the first one's names count."""
        path = self.shapes.setdefault(_TEMPLATE.sub("{}", spec.path), spec.path)
        names = dict(zip(template_parameters(spec.path), template_parameters(path), strict=True))
        item = self.paths.setdefault(path, {})
        if spec.relay:
            methods = _METHODS if spec.method == "ANY" else (spec.method.lower(),)
            for method in methods:
                item.setdefault(method, self._relay(spec, method, names))
        elif spec.operation:
            item[spec.method.lower()] = self._typed(spec, self.operations[spec.operation], names)

    def _typed(self, spec: EndpointSpec, operation: Operation, names: Mapping[str, str]) -> Document:
        bound = bind(spec, operation, template_parameters(spec.path))
        parameters = [
            parameter(part, names.get(part.name, part.name) if part.where == "path" else part.name, self._write)
            for part in bound.parameters
        ]
        described = self._common(spec, operation.name, operation, parameters)
        if bound.takes_body:
            described["requestBody"] = body(bound, f"{operation.name}_body", self._write)
        described["responses"] = self._responses(spec, operation, bool(names), bound.takes_body)
        return described

    def _relay(self, spec: EndpointSpec, method: str, names: Mapping[str, str]) -> Document:
        parameters = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
            for name in names.values()
        ]
        described = self._common(spec, f"relay_{spec.relay}_{method}", spec, parameters)
        if method in _BODY_METHODS:
            described["requestBody"] = {"content": {"*/*": {}}}
        described["responses"] = {"default": {"description": "Whatever the backend answers."}}
        return described

    def _common(
        self, spec: EndpointSpec, name: str, texts: Operation | EndpointSpec, parameters: list[Document]
    ) -> Document:
        described: Document = {"operationId": self._id(name)}
        for key, text in (
            ("summary", spec.summary or texts.summary),
            ("description", spec.description or texts.description),
        ):
            if text:
                described[key] = text
        if "path" not in self.version.select_by:
            parameters = [*parameters, *naming_parameters(self.version)]
        if parameters:
            described["parameters"] = parameters
        described["security"] = self.security.requirements(spec.steps)
        if self.version.lifecycle.status in ("deprecated", "retired"):
            described["deprecated"] = True
        return described

    def _id(self, name: str) -> str:
        number, id_ = 1, name
        while id_ in self.ids:
            number += 1
            id_ = f"{name}_{number}"
        self.ids.add(id_)
        return id_

    def _responses(self, spec: EndpointSpec, operation: Operation, has_path: bool, has_body: bool) -> Document:
        status = spec.binding.status or (204 if operation.output is None else 200)
        known = self.version.operations.get(spec.operation)
        is_topic = known is not None and known.kind == "topic"
        protected = bool(self.security.requirements(spec.steps))
        responses = {str(status): success(operation, self._write, located=is_topic)}
        if "media-type" in self.version.select_by and JSON in (content := responses[str(status)].get("content", {})):
            content[vendor_type(self.version).decode()] = content[JSON]
        for code, text in _refusals(spec, operation, protected, has_path, has_body):
            responses[str(code)] = self._problem(text)
        for code in sorted({error.status for error in operation.errors}):
            responses[str(code)] = self._declared([error for error in operation.errors if error.status == code])
        responses["default"] = self._problem("Any other refusal or failure.")
        return dict(sorted(responses.items()))

    def _problem(self, text: str, details: list[Document] | None = None) -> Document:
        return problem_response(text, _reference(self.problem), details or [])

    def _declared(self, errors: list[DeclaredError]) -> Document:
        """Errors that share a status: the codes are in the text; typed details are members beside the problem's."""
        text = "; ".join(f"{error.code}: {error.title}" for error in errors)
        resolved = [self.types.resolve(error.detail) for error in errors if error.detail is not None]
        return self._problem(text, [self._write_open(detail) for detail in resolved if isinstance(detail, Record)])

    def _write_open(self, record: Record) -> Document:
        """A detail's fields stand beside the problem's own members, which win."""
        properties = self._write(record)["properties"]
        own = PROBLEM["properties"]
        return {"type": "object", "properties": {name: part for name, part in properties.items() if name not in own}}

    def _write(self, type_: Type, nullable: bool = False) -> Document:
        return exact(json_schema.write(type_, nullable, _reference))


def _refusals(
    spec: EndpointSpec, operation: Operation, protected: bool, has_path: bool, has_body: bool
) -> list[tuple[int, str]]:
    """The refusals that this endpoint can come to, each with its description."""
    found = [
        (400, "The input is not valid: `errors` names every place.", True),
        (401, "Authentication is required.", protected),
        (403, "Not allowed.", protected),
        (404, "There is no such resource.", has_path),
        (406, "The Accept header rules out application/json.", operation.output is not None),
        (413, "The body is too large.", has_body),
        (415, "The body is not application/json.", has_body),
        (429, "A limit is reached; Retry-After tells when it ends.", limits(spec.steps)),
    ]
    return [(status, text) for status, text, possible in found if possible]
