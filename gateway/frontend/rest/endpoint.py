"""A typed REST endpoint: requests decoded into calls, canonical values encoded as JSON. Compiled at publish time."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Final

import orjson

from gateway.core.call import Call, Context
from gateway.core.errors import BadRequest, Detail, InvalidInput
from gateway.core.exchange import Exchange, Head, Reply, Step
from gateway.core.findings import DocumentsRefused
from gateway.core.identity import ANONYMOUS
from gateway.frontend.frontend import Encode, TypedEndpoint
from gateway.frontend.rest.binding import Bound, bind, check
from gateway.frontend.rest.negotiation import require_json_accepted, require_json_body
from gateway.frontend.rest.parameters import Errors, Input, Reading, readings
from gateway.schema.json_codec import compile_reader, loads, refusal, writer
from gateway.schema.places import ROOT
from gateway.schema.types import Operation, Record, Types
from gateway.snapshot.spec import EndpointSpec

Location = Callable[[Exchange, Any], bytes]

_JSON: Final = (b"content-type", b"application/json")


def rest_endpoint(
    spec: EndpointSpec,
    operation: Operation,
    types: Types,
    path_parameters: tuple[str, ...],
    component: str,
    version: str,
    location: Location | None = None,
    vendor: bytes | None = None,
) -> TypedEndpoint:
    """`path_parameters` are the template's names in order; `exchange.params` holds their raw segments.
    `location` makes the `Location` of a reply of the output (a topic's status URL). DocumentsRefused when `check`
    finds something. `vendor`: a JSON media type of the API's own that clients may ask for, too."""
    findings = check(spec, operation, types, path_parameters)
    if findings:
        raise DocumentsRefused(findings)
    bound = bind(spec, operation, path_parameters)
    decode = _decoder(
        operation,
        readings(bound, path_parameters, types),
        _body_reading(bound, operation, types),
        (component, version),
        vendor.partition(b"/")[2] if vendor is not None else None,
    )
    return TypedEndpoint(decode, _encoder(spec, operation, types, location), needs_body=bound.takes_body)


def _decoder(
    operation: Operation,
    parameters: tuple[Reading, ...],
    body: Reading,
    facts: tuple[str, str],
    vendor: bytes | None,
) -> Step:
    name, answers = operation.name, operation.output is not None
    component, version = facts

    def decode(exchange: Exchange) -> None:
        exchange.operation = name
        if answers:
            require_json_accepted(exchange.head, vendor)
        input_: Input = {}
        errors: Errors = []
        for reading in parameters:
            reading(exchange, input_, errors)
        body(exchange, input_, errors)
        if errors:
            raise _refusal(errors)
        identity = exchange.identity or ANONYMOUS
        exchange.call = Call(name, input_, Context(exchange.id, component, version, name, "rest", identity))

    return decode


def _refusal(errors: Errors) -> InvalidInput:
    """The codec's own refusal, but a message that is a sentence by itself keeps standing alone."""
    if len(errors) == 1 and errors[0].code == "json":
        return InvalidInput(errors[0].message, target=errors[0].target, details=errors)
    return refusal(errors)


def _body_reading(bound: Bound, operation: Operation, types: Types) -> Reading:
    if not bound.takes_body:
        return _refuse_body
    fill = _whole(bound, types) if bound.whole is not None else _properties(bound, operation, types)
    required = bound.body_required

    def reading(exchange: Exchange, input_: Input, errors: Errors) -> None:
        body = exchange.body
        if body:
            require_json_body(exchange.head)
        elif required:
            errors.append(Detail("$", "is required: send a JSON body", "required"))
            return
        try:
            value = loads(body) if body else _NO_BODY
        except InvalidInput as error:
            errors.extend(error.details)
            return
        fill(value, input_, errors)

    return reading


_NO_BODY: Final = object()


def _refuse_body(exchange: Exchange, _input: Input, _errors: Errors) -> None:
    if _sends_body(exchange.head):
        raise BadRequest("This endpoint takes no body. Send the request without one.", target="$")


def _sends_body(head: Head) -> bool:
    return head.length != 0


def _whole(bound: Bound, types: Types) -> Callable[[Any, Input, Errors], None]:
    field = bound.whole
    assert field is not None
    read, name, default = compile_reader(field.type, field.nullable, types), field.name, field.default

    def fill(value: Any, input_: Input, errors: Errors) -> None:
        if value is not _NO_BODY:
            input_[name] = read(value, ROOT, errors)
        elif default is not None:
            input_[name] = copy.deepcopy(default)

    return fill


def _properties(bound: Bound, operation: Operation, types: Types) -> Callable[[Any, Input, Errors], None]:
    read = compile_reader(Record(f"{operation.name}_body", bound.properties), False, types)

    def fill(value: Any, input_: Input, errors: Errors) -> None:
        given = read({} if value is _NO_BODY else value, ROOT, errors)
        if given is not None:
            input_.update(given)

    return fill


def _encoder(spec: EndpointSpec, operation: Operation, types: Types, location: Location | None) -> Encode:
    encode = _empty(spec.binding.status or 204) if operation.output is None else _json(spec, operation, types)
    if location is None:
        return encode

    def located(exchange: Exchange, value: Any) -> Reply:
        reply = encode(exchange, value)
        reply.add(b"location", location(exchange, value))
        return reply

    return located


def _empty(status: int) -> Encode:
    return lambda _exchange, _value: Reply(status)


def _json(spec: EndpointSpec, operation: Operation, types: Types) -> Encode:
    assert operation.output is not None
    status = spec.binding.status or 200
    write = writer(operation.output, operation.output_nullable, types)
    return lambda _exchange, value: Reply(status, [_JSON], orjson.dumps(write(value)))
