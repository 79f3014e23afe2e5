"""The SOAP service of one version: every operation behind one URL, its faults, its WSDL.

The body element decides the operation (PROTOCOLS S3); a SOAPAction that names another is refused. An operation without
output answers 200 with an empty response element: a caller then knows that it ran, and no WSDL says one-way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from lxml import etree

from gateway.core.call import Call, Context
from gateway.core.errors import MethodNotAllowed, NotFound, Problem, UnsupportedMediaType
from gateway.core.exchange import Exchange, Reply
from gateway.core.identity import ANONYMOUS
from gateway.frontend.frontend import Document, TypedEndpoint
from gateway.frontend.soap import messages, wsdl
from gateway.frontend.soap.envelope import (
    DEFAULT_LIMITS,
    SOAP11,
    Envelope,
    EnvelopeLimits,
    Form,
    MediaType,
    MustUnderstand,
    Reader,
    in_utf8,
    media_type,
    new_envelope,
    not_understood,
    open_envelope,
    serialize,
    version_of,
)
from gateway.frontend.soap.faults import Faults
from gateway.schema.types import Operation, Types
from gateway.schema.xml_codec import record_reader, record_writer
from gateway.snapshot.spec import SoapSpec

_WSDL_TYPE: Final = b"text/xml; charset=utf-8"


class UnknownOperation(Problem):
    """The body element is no operation of this service."""

    status, title, code = 400, "No such SOAP operation", "unknown_operation"


class ActionMismatch(Problem):
    """SOAPAction and body name different operations (CASES B52)."""

    status, title, code = 400, "The action disagrees with the body", "action_mismatch"


class SoapMount:
    """A `frontend.Mount`. `address` gives the URL that the client of an exchange used, for its WSDL."""

    dispatch_needs_body: Final = True

    def __init__(
        self,
        component: str,
        version: str,
        soap: SoapSpec,
        operations: Mapping[str, Operation],
        types: Types,
        address: Callable[[Exchange], str],
        limits: EnvelopeLimits = DEFAULT_LIMITS,
    ) -> None:
        """ValueError names the operation, error, type, field or namespace that XML cannot have or hold twice."""
        messages.check_namespace(soap.namespace)
        offered = {name: operations[name] for name in soap.operations}
        self._namespace = soap.namespace
        self._reader = Reader(limits)
        self._faults = Faults(soap.namespace, offered, types)
        self._names = {f"{{{soap.namespace}}}{name}": name for name in offered}
        self._actions = {name: frozenset(("", name, messages.action_of(soap.namespace, name))) for name in offered}
        service = f"{component}-{version}"
        self._wsdl = wsdl.Template(wsdl.definitions(service, soap.namespace, offered, types))
        self._address = address
        self.endpoints: Mapping[str, TypedEndpoint] = {
            name: _endpoint(operation, soap.namespace, types, component, version) for name, operation in offered.items()
        }
        self.documents: Mapping[str, Document] = {"": self._document}

    def render(self, exchange: Exchange, problem: Problem) -> Reply:
        return self._faults.render(exchange, problem)

    def dispatch(self, exchange: Exchange) -> str:
        """The operation that the body names. Keeps the envelope in `exchange.parsed`."""
        media = media_type(exchange.head.get(b"content-type"))
        exchange.parsed = Form(media.version)
        envelope = self._open(exchange, media)
        missed = not_understood(envelope)
        if missed:
            raise MustUnderstand(missed)
        name = self._operation(envelope.operation)
        self._check_action(name, _action(exchange, media))
        exchange.operation = name
        return name

    def _open(self, exchange: Exchange, media: MediaType) -> Envelope:
        data, charset = in_utf8(exchange.body or b"", media.charset)
        exchange.parsed = Form(media.version, charset)
        root = self._reader.parse(data)
        form = Form(version_of(root), charset)
        exchange.parsed = form
        if form.version is not media.version:
            raise UnsupportedMediaType(
                f"A SOAP {form.version.number} envelope travels as {form.version.media_type}, "
                f"not as {media.version.media_type}."
            )
        envelope = open_envelope(root, form)
        exchange.parsed = envelope
        return envelope

    def _operation(self, element: etree.QName) -> str:
        name = self._names.get(element.text)
        if name is not None:
            return name
        offered = ", ".join(sorted(self._names.values()))
        raise UnknownOperation(
            f"The body holds {element.text}; the operations of this service are {offered}, in {self._namespace}."
        )

    def _check_action(self, name: str, action: str) -> None:
        if action not in self._actions[name]:
            raise ActionMismatch(
                f"The action says {action!r} and the body says {name}. "
                f"Send {messages.action_of(self._namespace, name)!r} or none."
            )

    def _document(self, exchange: Exchange) -> Reply:
        """`?wsdl` in any case, also `?wsdl=single` and `?singleWsdl`: it is one document without parts."""
        query = exchange.head.query
        if not query:
            raise MethodNotAllowed("SOAP is POST here. The WSDL is at ?wsdl.", headers=((b"allow", b"POST"),))
        asked = {name.lower(): value.lower() for name, value in parse_qsl(query.decode("latin-1"), True)}
        if asked.get("wsdl") in ("", "single") or asked.get("singlewsdl") == "":
            return Reply(200, [(b"content-type", _WSDL_TYPE)], self._wsdl.at(self._address(exchange)))
        raise NotFound("There is no such document here. The whole WSDL, types included, is at ?wsdl.")


def _action(exchange: Exchange, media: MediaType) -> str:
    """The action without its quotes; empty when there is none (SOAP 1.1 section 6.1.1)."""
    if media.version is not SOAP11:
        return media.action or ""
    value = (exchange.head.get(b"soapaction") or b"").decode("latin-1").strip()
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value


def _endpoint(operation: Operation, namespace: str, types: Types, component: str, version: str) -> TypedEndpoint:
    read = record_reader(messages.request_record(operation), types, namespace)
    response = messages.response_record(operation)
    write = record_writer(response, types, namespace)
    tag = f"{{{namespace}}}{response.name}"
    result = f"{operation.name}Result" if operation.output is not None else None

    def decode(exchange: Exchange) -> None:
        context = Context(exchange.id, component, version, operation.name, "soap", exchange.identity or ANONYMOUS)
        exchange.call = Call(operation.name, read(exchange.parsed.body, "$"), context)

    def encode(exchange: Exchange, value: Any) -> Reply:
        form: Form = exchange.parsed.form
        root, body = new_envelope(form.version)
        element = etree.SubElement(body, tag, nsmap={None: namespace})
        write(element, {} if result is None else {result: value})
        return Reply(200, [(b"content-type", form.content_type)], serialize(root, form.charset))

    return TypedEndpoint(decode, encode)
