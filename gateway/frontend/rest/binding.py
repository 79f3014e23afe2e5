"""Where a REST route's request carries each parameter of its operation: path, query, header or body.

Decided once, at publish time, for the endpoint that decodes and for the OpenAPI document that describes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from gateway.core.findings import Finding, Place
from gateway.schema.types import Array, Field, Operation, Record, Type, Types
from gateway.snapshot.spec import EndpointSpec, StepSpec

Where = Literal["path", "query", "header"]

_BODILESS: Final = frozenset(("GET", "HEAD"))
_QUERY_METHODS: Final = frozenset(("GET", "HEAD", "DELETE"))
_TEMPLATE: Final = re.compile(r"\{([^{}]+)\}")
_OWNED_HEADERS: Final = frozenset(
    (
        "accept", "authorization", "connection", "content-encoding", "content-length", "content-type", "expect",
        "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Parameter:
    """A part of the input that travels as text. `name` is what clients write, `field.name` what the operation does."""

    field: Field
    where: Where
    name: str

    @property
    def required(self) -> bool:
        """Whether leaving it out is refused. Text has neither null nor an empty list: there, nothing stands for it."""
        if not self.field.required or (self.field.nullable and self.where != "path"):
            return False
        type_ = self.field.type
        return not (isinstance(type_, Array) and not type_.min_items)


@dataclass(frozen=True, slots=True)
class Bound:
    """`whole` is the parameter that is the body; else `properties` are those that the body's object holds.
    `passed` names query parameters that belong to steps and are let through."""

    parameters: tuple[Parameter, ...]
    whole: Field | None
    properties: tuple[Field, ...]
    passed: frozenset[str] = frozenset()

    @property
    def takes_body(self) -> bool:
        return self.whole is not None or bool(self.properties)

    @property
    def body_required(self) -> bool:
        return self.whole.required if self.whole is not None else any(part.required for part in self.properties)


def template_parameters(path: str) -> tuple[str, ...]:
    """The names in a route's template, in order: `/orders/{id}/lines/{line}` has id and line."""
    return tuple(_TEMPLATE.findall(path))


def bind(spec: EndpointSpec, operation: Operation, path_parameters: tuple[str, ...]) -> Bound:
    """Shares the operation's input out. What `check` refuses has no meaning here."""
    binding = spec.binding
    rest_in_query = spec.method in _QUERY_METHODS or binding.body is not None
    parameters: list[Parameter] = []
    properties: list[Field] = []
    whole = None
    for field in operation.input.fields:
        if field.name == binding.body:
            whole = field
        elif field.name in path_parameters:
            parameters.append(Parameter(field, "path", field.name))
        elif field.name in binding.headers:
            parameters.append(Parameter(field, "header", binding.headers[field.name]))
        elif field.name in binding.query or rest_in_query:
            parameters.append(Parameter(field, "query", binding.query.get(field.name, field.name)))
        else:
            properties.append(field)
    return Bound(tuple(parameters), whole, tuple(properties), passed_query_names(spec.steps))


def passed_query_names(steps: tuple[StepSpec, ...]) -> frozenset[str]:
    """Query parameters that steps read: an authentication step may be told to look there."""
    return frozenset(name for step in steps if isinstance(name := step.config.get("query"), str))


def check(spec: EndpointSpec, operation: Operation, types: Types, path_parameters: tuple[str, ...]) -> list[Finding]:
    """Everything that is wrong with an endpoint's binding, with the way out; empty when it can be built."""
    found = [*_unknown(spec, operation, path_parameters), *_doubled(spec, path_parameters), *_misplaced(spec)]
    if not found:
        bound = bind(spec, operation, path_parameters)
        found = [*_unfit(bound, types), *_same_name(bound)]
    return [Finding(Place(path=spec.place or spec.key), "binding", *texts) for texts in found]


Texts = tuple[str, str]


def _unknown(spec: EndpointSpec, operation: Operation, path_parameters: tuple[str, ...]) -> Iterator[Texts]:
    binding = spec.binding
    known = ", ".join(field.name for field in operation.input.fields) or "none"
    places = [(name, "path") for name in path_parameters]
    places += [(binding.body, "body")] if binding.body is not None else []
    places += [(name, "query") for name in binding.query] + [(name, "headers") for name in binding.headers]
    for name, place in places:
        if name not in operation.input:
            yield (
                f"{spec.key}: its {place} names {name}, which {operation.name} does not take.",
                f"Parameters of {operation.name}: {known}.",
            )


def _doubled(spec: EndpointSpec, path_parameters: tuple[str, ...]) -> Iterator[Texts]:
    binding = spec.binding
    places = [*path_parameters, *binding.query, *binding.headers, *([binding.body] if binding.body else [])]
    for name in sorted({name for name in places if places.count(name) > 1}):
        yield (
            f"{spec.key}: the parameter {name} comes from two places.",
            "Name it in one of path, query, headers, body.",
        )


def _misplaced(spec: EndpointSpec) -> Iterator[Texts]:
    if spec.binding.body is not None and spec.method in _BODILESS:
        yield (
            f"{spec.key}: a {spec.method} request has no body.",
            "Use POST, or leave body out.",
        )
    if spec.method == "ANY":
        yield f"{spec.key}: ANY is for relays.", "A typed call names one method."
    for name, header in spec.binding.headers.items():
        if header.lower() in _OWNED_HEADERS:
            yield f"{spec.key}: {name} comes from the header {header}, which HTTP itself uses.", "Name another header."


def _unfit(bound: Bound, types: Types) -> Iterator[Texts]:
    for parameter in bound.parameters:
        reason = _reason(types, parameter.field.type, parameter.where)
        if reason:
            where = "the path" if parameter.where == "path" else f"a {parameter.where}"
            yield (
                f"The parameter {parameter.field.name} is {reason}, which {where} does not carry.",
                "Take it from the body (POST, PUT or PATCH), or give it a scalar type.",
            )


def _reason(types: Types, type_: Type, where: Where) -> str:
    resolved = types.resolve(type_)
    if isinstance(resolved, Record):
        return "a record"
    if not isinstance(resolved, Array):
        return ""
    if where != "query":
        return "a list"
    return "a list of lists or records" if isinstance(types.resolve(resolved.item), Record | Array) else ""


def _same_name(bound: Bound) -> Iterator[Texts]:
    names = [
        (parameter.where, parameter.name.lower() if parameter.where == "header" else parameter.name)
        for parameter in bound.parameters
    ]
    for where, name in sorted({name for name in names if names.count(name) > 1}):
        yield f"Two parameters come from the {where} parameter {name}.", "Give each a name of its own."
    for parameter in bound.parameters:
        if parameter.where == "query" and parameter.name in bound.passed:
            yield (
                f"The query parameter {parameter.name} belongs to a step.",
                f"Bind {parameter.field.name} to another query name.",
            )
