"""A typed call of a SOAP service over an HTTP backend: document/literal, or rpc/literal, in SOAP 1.1 or 1.2.

The envelope is written with `schema.xml_write` and the answer read with `schema.xml_codec`; what a service sends beside
the declared elements is dropped, as over JSON. A fault whose detail is declared is that error; any other is a 502.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from lxml import etree

from gateway.core.call import Call
from gateway.core.errors import BadGateway, GatewayTimeout, InvalidInput, Problem
from gateway.core.findings import DocumentsRefused, Finding, Place
from gateway.core.headers import Fields
from gateway.manifest.documents import SoapCall
from gateway.relay.upstream import Fetched, Upstream
from gateway.schema.types import Array, DeclaredError, Field, Operation, Record, Type, Types
from gateway.schema.xml_codec import element_reader, record_reader
from gateway.schema.xml_parser import xml_parser
from gateway.schema.xml_write import qualify, record_writer

log: Final = logging.getLogger("gateway.backend")

Element = etree._Element
SOAP11: Final = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP12: Final = "http://www.w3.org/2003/05/soap-envelope"


def bind_soap(config: SoapCall, path: str, upstream: Upstream, operation: Operation, types: Types) -> SoapCaller:
    """The backend of one operation. DocumentsRefused: something of it XML cannot name."""
    try:
        return SoapCaller(config, path, upstream, operation, types)
    except ValueError as error:
        place = Place(path=f"/operations/{operation.name}/soap")
        raise DocumentsRefused([Finding(place, "soap-call", f"{error}.", "Rename it.")]) from None


class SoapCaller:
    """Envelope out, answer back. The upstream is shared by the version's operations and closed with it."""

    def __init__(self, config: SoapCall, path: str, upstream: Upstream, operation: Operation, types: Types) -> None:
        self._upstream = upstream
        self._target = path.encode("ascii")
        self._envelope = SOAP11 if config.version == "1.1" else SOAP12
        self._tag = qualify(config.namespace, config.element)
        self._fields = _fields(config)
        self._write = record_writer(operation.input, types, _inner(config))
        self._answers = _Answers(config, operation, types, self._envelope)

    async def invoke(self, call: Call) -> Any:
        """The output as a canonical value. Raises a declared error, BadGateway, or GatewayTimeout."""
        try:
            application = call.context.identity.application
            more: dict[str, Any] = {} if call.override is None else {"override": call.override}
            body = self._body(call.input)
            answer = await self._upstream.fetch(
                b"POST", self._target, self._fields, body, application=application, **more
            )
        except TimeoutError as error:
            raise GatewayTimeout("The backend did not answer in time.") from error
        except OSError as error:
            raise BadGateway("The backend cannot be reached.") from error
        return self._answers.read(answer, call.context.call_id)

    async def close(self) -> None:
        """Nothing is held here."""

    def _body(self, input_: dict[str, Any]) -> bytes:
        root = etree.Element(f"{{{self._envelope}}}Envelope", nsmap={"soap": self._envelope})
        body = etree.SubElement(root, f"{{{self._envelope}}}Body")
        self._write(etree.SubElement(body, self._tag), {k: v for k, v in input_.items() if v is not None})
        return etree.tostring(root, xml_declaration=True, encoding="utf-8")


def _inner(config: SoapCall) -> str:
    return config.namespace if config.qualified else ""


def _fields(config: SoapCall) -> Fields:
    """SOAP 1.1 section 6.1.1; SOAP 1.2 Part 2, 7.1 and RFC 3902."""
    if config.version == "1.1":
        return [
            (b"content-type", b"text/xml; charset=utf-8"),
            (b"soapaction", f'"{config.action}"'.encode()),
            (b"accept", b"text/xml"),
        ]
    action = f'; action="{config.action}"' if config.action else ""
    media = b"application/soap+xml"
    return [(b"content-type", media + b"; charset=utf-8" + action.encode()), (b"accept", media)]


class _Answers:
    """Compiled readers of one operation's answers."""

    def __init__(self, config: SoapCall, operation: Operation, types: Types, envelope: str) -> None:
        self._config = config
        self._types = types
        self._space = _inner(config)
        self._soap = envelope
        self._response = qualify(config.namespace, config.response) if config.response else None
        self._record = _response(config, operation, types)
        self._read = record_reader(self._record, types, self._space)
        declared = {error.code: error for error in operation.errors}
        self._errors = {element: declared[code] for element, code in config.errors.items() if code in declared}

    def read(self, answer: Fetched, call_id: str) -> Any:
        body = self._body_of(answer, call_id)
        fault = None if body is None else body.find(f"{{{self._soap}}}Fault")
        if fault is not None:
            raise self._fault(fault, call_id)
        if not 200 <= answer.status <= 299:
            raise _bad(call_id, f"The backend answered {answer.status}.")
        if self._response is None:
            return None
        found = None if body is None else body.find(self._response)
        if found is None:
            raise _bad(call_id, f"The backend's answer has no {self._config.response}.")
        return self._output(found, call_id)

    def _output(self, found: Element, call_id: str) -> Any:
        keep(found, self._record, self._types, self._space)
        try:
            value = self._read(found, "$")
        except InvalidInput as error:
            place = error.details[0].target if error.details else "$"
            raise _bad(call_id, f"The backend's answer does not fit the contract: {error.detail}", place) from None
        if not self._config.result:
            return value if self._record.fields else None
        field = self._record[self._config.result]
        return value.get(field.name, [] if isinstance(field.type, Array) else None)

    def _body_of(self, answer: Fetched, call_id: str) -> Element | None:
        if not answer.body.strip():
            return None
        parser = xml_parser(remove_comments=True)
        try:
            root = etree.fromstring(answer.body, parser)
        except etree.XMLSyntaxError:
            raise _bad(call_id, f"The backend answered {answer.status}, and no XML.") from None
        if root.getroottree().docinfo.doctype:
            raise _bad(call_id, "The backend's answer has a DOCTYPE.")
        if root.tag != f"{{{self._soap}}}Envelope":
            raise _bad(call_id, f"The backend's answer is no envelope of SOAP {self._config.version}.")
        return root.find(f"{{{self._soap}}}Body")

    def _fault(self, fault: Element, call_id: str) -> Problem:
        detail = fault.find("detail") if self._soap == SOAP11 else fault.find(f"{{{self._soap}}}Detail")
        for each in () if detail is None else detail.iterchildren(tag=etree.Element):
            declared = self._errors.get(etree.QName(each).localname)
            if declared is not None:
                return self._declared(declared, each, _reason(fault, self._soap))
        return _bad(call_id, "The backend answered with a SOAP fault.")

    def _declared(self, error: DeclaredError, element: Element, reason: str) -> Problem:
        kind: type[Problem] = type(
            error.code, (Problem,), {"code": error.code, "status": error.status, "title": error.title}
        )
        problem = kind(reason[:500])
        record = None if error.detail is None else self._types.resolve(error.detail)
        if isinstance(record, Record):
            keep(element, record, self._types, self._space)
            try:
                problem.extensions = element_reader(record, False, self._types, self._space)(element, "$")
            except InvalidInput as wrong:
                log.warning("the detail of %s does not fit its type: %s", error.code, wrong.detail)
        return problem


def _response(config: SoapCall, operation: Operation, types: Types) -> Record:
    """The record of the answer's element: its one `result`, or all that the output has."""
    name = config.response or "nothing"
    if operation.output is None:
        return Record(name, ())
    if config.result:
        many = isinstance(operation.output, Array)
        required = not operation.output_nullable and not many
        return Record(name, (Field(config.result, operation.output, required, operation.output_nullable),))
    output = types.resolve(operation.output)
    if not isinstance(output, Record):
        raise ValueError(f"the output of {operation.name} is no record, and no result is named")
    return output


def keep(element: Element, type_: Type, types: Types, space: str) -> None:
    """Leaves the declared elements, in their order; drops other ones, and attributes but those of XSI."""
    resolved = types.resolve(type_)
    for name in [each for each in element.attrib if not str(each).endswith("}nil")]:
        del element.attrib[name]
    if not isinstance(resolved, Record):
        return
    places = {qualify(space, field.name): at for at, field in enumerate(resolved.fields)}
    known = [each for each in element.iterchildren(tag=etree.Element) if each.tag in places]
    known.sort(key=lambda each: places[str(each.tag)])
    element.text = None
    for each in list(element):
        element.remove(each)
    for each in known:
        each.tail = None
        element.append(each)
        inner = resolved.fields[places[str(each.tag)]].type
        keep(each, inner.item if isinstance(inner, Array) else inner, types, space)


def _reason(fault: Element, soap: str) -> str:
    text = fault.findtext("faultstring") if soap == SOAP11 else fault.findtext(f"{{{soap}}}Reason/{{{soap}}}Text")
    return " ".join((text or "").split())


def _bad(call_id: str, message: str, target: str | None = None) -> BadGateway:
    log.warning("call %s: %s", call_id, message)
    return BadGateway(message, target=target)
