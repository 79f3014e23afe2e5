"""A problem as a SOAP fault, in the version and charset of the request.

HTTP statuses (PROTOCOLS S4): 1.1 answers faults with 500; 1.2 answers 400 for Sender and 500 for others. A problem that
is not of the message but of HTTP around it keeps its own status with the fault as the body, so that clients, proxies
and retries understand it: 401 (with WWW-Authenticate), 403, 405 (with Allow), 406, 408, 410, 413, 414, 415, 417, 429
(with Retry-After), 431 and 503; so does 400 for what is no envelope at all (Basic Profile R1113), and every problem of
a request that is no POST and so carries no message. A declared error of the operation is always of the message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

from lxml import etree

from gateway.core.errors import InternalError, Problem, UnsupportedMediaType
from gateway.core.exchange import Exchange, Reply
from gateway.frontend.frontend import add_fields
from gateway.frontend.soap import messages
from gateway.frontend.soap.envelope import (
    SOAP11,
    SOAP12,
    Element,
    Envelope,
    Form,
    MalformedEnvelope,
    MustUnderstand,
    SoapVersion,
    VersionMismatch,
    add_header,
    media_type,
    new_envelope,
    serialize,
)
from gateway.schema.types import DeclaredError, Operation, Types
from gateway.schema.xml_codec import record_writer

PROBLEMS: Final = "urn:penstock"  # the namespace of problem details and of their codes
_XML_LANG: Final = "{http://www.w3.org/XML/1998/namespace}lang"
_KEPT: Final = frozenset((401, 403, 405, 406, 408, 410, 413, 414, 415, 417, 429, 431, 503))
_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def form_of(exchange: Exchange) -> Form:
    """What to reply in: the request's version once its envelope told, before that what its Content-Type says."""
    if isinstance(exchange.parsed, Envelope):
        return exchange.parsed.form
    if isinstance(exchange.parsed, Form):
        return exchange.parsed
    try:
        return Form(media_type(exchange.head.get(b"content-type")).version)
    except UnsupportedMediaType:
        return Form()


def text(value: str) -> str:
    """A text as XML can carry it: other characters become U+FFFD."""
    return _NOT_XML.sub("\ufffd", value)


class _Typed(NamedTuple):
    """A declared error of an operation, with what writes its detail."""

    error: DeclaredError
    write: Callable[[Element, dict[str, Any]], None]
    has_data: bool


def _typed(error: DeclaredError, namespace: str, types: Types) -> _Typed:
    record = messages.fault_record(error, types)
    return _Typed(error, record_writer(record, types, namespace), "data" in record)


class Faults:
    """Writes the faults of one version's operations; built at publish time."""

    def __init__(self, namespace: str, operations: Mapping[str, Operation], types: Types) -> None:
        self._namespace = namespace
        self._declared = {
            name: {error.code: _typed(error, namespace, types) for error in operation.errors}
            for name, operation in operations.items()
        }

    def render(self, exchange: Exchange, problem: Problem) -> Reply:
        """The reply of a problem: the fault, its HTTP status, and the problem's own header fields."""
        form = form_of(exchange)
        typed = self._declared.get(exchange.operation, {}).get(problem.code)
        root, body = new_envelope(form.version)
        fault = etree.SubElement(body, form.version.tag("Fault"))
        detail = self._detail(exchange, problem, typed)
        code = _code(problem, typed.error.status if typed else problem.status, form.version)
        if form.version is SOAP11:
            _fill_11(fault, code, problem, detail)
        else:
            _fill_12(fault, code, problem, detail)
        _add_headers(root, form.version, problem)
        reply = Reply(_http_status(exchange, problem, typed is not None, code), body=serialize(root, form.charset))
        reply.add(b"content-type", form.content_type)
        add_fields(exchange, reply, problem)
        return reply

    def _detail(self, exchange: Exchange, problem: Problem, typed: _Typed | None) -> Element | None:
        if isinstance(problem, MustUnderstand):
            return None  # SOAP 1.1 section 4.4: the detail tells of the Body alone
        if typed is None:
            return _problem_detail(exchange, problem)
        return self._typed_detail(problem, typed)

    def _typed_detail(self, problem: Problem, typed: _Typed) -> Element:
        error = typed.error
        value: dict[str, Any] = {"code": error.code, "title": text(error.title or problem.title)}
        if problem.detail:
            value["detail"] = text(problem.detail)
        if problem.target:
            value["target"] = text(problem.target)
        if problem.extensions and typed.has_data:
            with suppress(InternalError):  # what does not fit the declared type is left out, the fault is not
                return self._element(typed, value | {"data": problem.extensions})
        return self._element(typed, value)

    def _element(self, typed: _Typed, value: dict[str, Any]) -> Element:
        element = etree.Element(f"{{{self._namespace}}}{typed.error.code}", nsmap={None: self._namespace})
        typed.write(element, value)
        return element


def _code(problem: Problem, status: int, version: SoapVersion) -> str:
    if isinstance(problem, VersionMismatch):
        return "VersionMismatch"
    if isinstance(problem, MustUnderstand):
        return "MustUnderstand"
    sender = status < 500
    if version is SOAP11:
        return "Client" if sender else "Server"
    return "Sender" if sender else "Receiver"


def _http_status(exchange: Exchange, problem: Problem, declared: bool, code: str) -> int:
    if exchange.head.method != b"POST":
        return problem.status
    if not declared and (problem.status in _KEPT or isinstance(problem, MalformedEnvelope)):
        return problem.status
    return 400 if code == "Sender" else 500


def _fill_11(fault: Element, code: str, problem: Problem, detail: Element | None) -> None:
    """SOAP 1.1 section 4.4: unqualified children."""
    etree.SubElement(fault, "faultcode").text = f"soap:{code}"
    reason = etree.SubElement(fault, "faultstring", {_XML_LANG: "en"})
    reason.text = _reason(problem)
    if detail is not None:
        etree.SubElement(fault, "detail").append(detail)


def _fill_12(fault: Element, code: str, problem: Problem, detail: Element | None) -> None:
    """SOAP 1.2 part 1, section 5.4. The subcode is the problem's own code, in the namespace of its detail."""
    outer = etree.SubElement(fault, SOAP12.tag("Code"))
    etree.SubElement(outer, SOAP12.tag("Value")).text = f"soap:{code}"
    if code in ("Sender", "Receiver") and messages.is_name(problem.code):
        namespace = PROBLEMS if detail is None else etree.QName(detail).namespace
        subcode = etree.SubElement(outer, SOAP12.tag("Subcode"))
        value = etree.SubElement(subcode, SOAP12.tag("Value"), nsmap={"code": namespace or PROBLEMS})
        value.text = f"code:{problem.code}"
    reason = etree.SubElement(fault, SOAP12.tag("Reason"))
    etree.SubElement(reason, SOAP12.tag("Text"), {_XML_LANG: "en"}).text = _reason(problem)
    if detail is not None:
        etree.SubElement(fault, SOAP12.tag("Detail")).append(detail)


def _reason(problem: Problem) -> str:
    return text(problem.detail or problem.title)


def _problem_detail(exchange: Exchange, problem: Problem) -> Element:
    """`{urn:penstock}problem`: code, status, title, request id, and an `error` for each of several details."""
    root = etree.Element(f"{{{PROBLEMS}}}problem", nsmap={None: PROBLEMS})
    parts = {
        "code": problem.code,
        "status": str(problem.status),
        "title": problem.title,
        "detail": problem.detail,
        "target": problem.target,
        "request": exchange.id,
    }
    for name, value in parts.items():
        if value:
            etree.SubElement(root, f"{{{PROBLEMS}}}{name}").text = text(value)
    for each in problem.details:
        error = etree.SubElement(root, f"{{{PROBLEMS}}}error")
        for name, value in (("target", each.target), ("code", each.code), ("message", each.message)):
            etree.SubElement(error, f"{{{PROBLEMS}}}{name}").text = text(value)
    return root


def _add_headers(root: Element, version: SoapVersion, problem: Problem) -> None:
    """SOAP 1.2 part 1: NotUnderstood (section 5.4.8), Upgrade (section 5.4.7, and for 1.1 appendix A)."""
    if isinstance(problem, MustUnderstand) and version is SOAP12:
        for name in problem.names:
            block = add_header(root, SOAP12.tag("NotUnderstood"), {"h": name.namespace} if name.namespace else None)
            block.set("qname", f"h:{name.localname}" if name.namespace else name.localname)
    if isinstance(problem, VersionMismatch):
        upgrade = add_header(root, SOAP12.tag("Upgrade"))
        for each in (SOAP12, SOAP11):
            tag = SOAP12.tag("SupportedEnvelope")
            etree.SubElement(upgrade, tag, nsmap={"env": each.namespace}).set("qname", "env:Envelope")
