"""The records that travel as wrapper elements: an operation's request and response, and its declared faults.

Document/literal wrapped: `get_order` holds the parameters, `get_orderResponse` holds `get_orderResult`. An operation
without output answers an empty `get_orderResponse`. Reader, writer and WSDL are all made of these same records.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from gateway.schema.types import DeclaredError, Field, Operation, Record, Scalar, Types

_TEXT: Final = Scalar("string")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9._-]*")


_RESERVED: Final = ("http://www.w3.org/", "http://schemas.xmlsoap.org/", "urn:penstock")
_NOT_IN_URI: Final = re.compile('[\\x00-\\x20\\x7f<>"{}|\\\\^`]')


def check_namespace(namespace: str) -> None:
    """ValueError for what is no URI (RFC 3986), and for the namespaces of SOAP, XML and this gateway themselves."""
    if not namespace or _NOT_IN_URI.search(namespace):
        raise ValueError(f"{namespace!r} is no URI and cannot be the namespace of a SOAP service.")
    if namespace.startswith(_RESERVED):
        raise ValueError(f"The namespace {namespace} is reserved. Use one of your own, such as urn:example:shop:v2.")


def is_name(text: str) -> bool:
    """True for what may name an element here: an NCName of ASCII (Namespaces in XML 1.0, section 3)."""
    return _NAME.fullmatch(text) is not None


def request_record(operation: Operation) -> Record:
    """`{namespace}get_order`: a field per parameter."""
    return Record(operation.name, operation.input.fields, operation.description or operation.summary)


def response_record(operation: Operation) -> Record:
    """`{namespace}get_orderResponse`: the result, or nothing."""
    name = f"{operation.name}Response"
    if operation.output is None:
        return Record(name, ())
    return Record(name, (Field(f"{operation.name}Result", operation.output, nullable=operation.output_nullable),))


def fault_record(error: DeclaredError, types: Types) -> Record:
    """`{namespace}OrderNotFound`: the detail of a typed fault. `data` is what the error declares to carry."""
    fields = [
        Field("code", _TEXT),
        Field("title", _TEXT),
        Field("detail", _TEXT, required=False),
        Field("target", _TEXT, required=False),
    ]
    if error.detail is not None and isinstance(types.resolve(error.detail), Record):
        fields.append(Field("data", error.detail, required=False))
    return Record(error.code, tuple(fields), error.title)


def action_of(namespace: str, operation: str) -> str:
    """The SOAPAction (1.1) or action (1.2) of an operation, as its WSDL says."""
    return f"{namespace}{operation}" if namespace.endswith(("/", "#", ":")) else f"{namespace}#{operation}"


def wrappers(operations: Mapping[str, Operation], types: Types) -> dict[str, Record]:
    """Every wrapper element of a service by its name. ValueError when two of them share a name, unless they are one
    error of several operations, and when a name cannot be an element's."""
    found: dict[str, Record] = {}
    for operation in operations.values():
        for record in (request_record(operation), response_record(operation)):
            _add(found, record, operation)
    faults: dict[str, Record] = {}
    for operation in operations.values():
        for error in operation.errors:
            record = fault_record(error, types)
            if error.code not in faults or faults[error.code].fields != record.fields:
                _add(found, record, operation)
                faults[error.code] = record
    return found


def _add(found: dict[str, Record], record: Record, operation: Operation) -> None:
    if not is_name(record.name):
        raise ValueError(f"{record.name!r} of operation {operation.name} cannot name an XML element.")
    if record.name in found:
        raise ValueError(f"Two messages of the SOAP service are named {record.name}: rename one of them.")
    found[record.name] = record
