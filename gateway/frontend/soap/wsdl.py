"""The WSDL 1.1 of a version's SOAP service, and its XSD: the only module that knows spyne.

spyne lays out the document: messages, port type, a binding, a service. It knows one SOAP version per service and has
its own ideas of occurrence, facets and recursion, so the tree is finished here: a second binding, and the types exactly
as `schema/xml_codec` reads and writes them. Nothing of spyne runs on a request's path.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from copy import deepcopy
from operator import attrgetter
from types import ModuleType
from typing import Any, Final
from xml.sax.saxutils import escape

import six
from lxml import etree

from gateway.frontend.soap import messages
from gateway.frontend.soap.xsd_types import XS, declare
from gateway.schema.types import Operation, Types

_SIX_MOVES: Final = ("collections_abc", "http_cookies", "urllib", "urllib.parse", "urllib.request", "urllib.error")


def _import_spyne() -> tuple[ModuleType, ...]:
    """spyne brings an old `six`, which Python 3.12 cannot import, and wants `cgi`, which Python 3.13 has no more;
    of the latter it uses nothing here."""
    stand_in = ModuleType("spyne.util.six")
    vars(stand_in).update({name: value for name, value in vars(six).items() if not name.startswith("__")})
    vars(stand_in)["get_function_name"] = attrgetter("__name__")
    sys.modules["spyne.util.six"] = stand_in
    sys.modules["spyne.util.six.moves"] = six.moves
    for name in _SIX_MOVES:
        sys.modules[f"spyne.util.six.moves.{name}"] = __import__(f"six.moves.{name}", fromlist=["_"])
    real_cgi = sys.modules.get("cgi")
    sys.modules["cgi"] = ModuleType("cgi")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import spyne
            import spyne.interface.wsdl
            import spyne.model.fault
            import spyne.protocol.soap
            import spyne.util.appreg
    finally:
        del sys.modules["cgi"]
        if real_cgi is not None:
            sys.modules["cgi"] = real_cgi
    return spyne, spyne.interface.wsdl, spyne.model.fault, spyne.protocol.soap, spyne.util.appreg


_spyne, _spyne_wsdl, _spyne_fault, _spyne_soap, _spyne_registry = _import_spyne()

Element = etree._Element

WSDL: Final = "http://schemas.xmlsoap.org/wsdl/"
SOAP11_BINDING: Final = "http://schemas.xmlsoap.org/wsdl/soap/"
SOAP12_BINDING: Final = "http://schemas.xmlsoap.org/wsdl/soap12/"
_HTTP: Final = "http://schemas.xmlsoap.org/soap/http"
_PLACEHOLDER: Final = "urn:penstock:address"


class Template:
    """A WSDL with its address left open: written once, at publish time."""

    def __init__(self, definitions: Element) -> None:
        document = etree.tostring(definitions, encoding="utf-8", xml_declaration=True, pretty_print=True)
        self._parts: list[bytes] = document.split(_PLACEHOLDER.encode())

    def at(self, address: str) -> bytes:
        """The document for a client that called `address`."""
        return escape(address, {'"': "&quot;"}).encode().join(self._parts)


def definitions(service: str, namespace: str, operations: Mapping[str, Operation], types: Types) -> Element:
    """The WSDL's root. ValueError names what cannot share one namespace: two faults of one code and different detail,
    a fault and an operation of one name."""
    wrappers = messages.wrappers(operations, types)
    root = _laid_out(service, namespace, operations)
    holder = root.find(f"{{{WSDL}}}types")
    assert holder is not None
    schema = etree.SubElement(holder, f"{XS}schema", targetNamespace=namespace, elementFormDefault="qualified")
    declare(schema, wrappers, types)
    _describe(root, operations)
    _bind(root, service, namespace)
    etree.cleanup_namespaces(root, keep_ns_prefixes=["tns", "xs"])
    return root


def xsd(namespace: str, operations: Mapping[str, Operation], types: Types) -> Element:
    """The WSDL's schema as a document of its own."""
    root = etree.Element(
        f"{XS}schema",
        nsmap={"tns": namespace, "xs": XS[1:-1]},
        targetNamespace=namespace,
        elementFormDefault="qualified",
    )
    declare(root, messages.wrappers(operations, types), types)
    return root


_Wsdl11: Any = _spyne_wsdl.Wsdl11


class _Layout(_Wsdl11):  # type: ignore[misc]
    """spyne's WSDL without its types: it follows references by recursion and keeps every class for good."""

    def build_schema_nodes(self, with_schema_location: bool = False) -> None:
        self.schema_dict: dict[str, Element] = {}


def _laid_out(service: str, namespace: str, operations: Mapping[str, Operation]) -> Element:
    """What spyne makes of the operations: messages, a port type, one binding, one service."""
    codes = dict.fromkeys(error.code for operation in operations.values() for error in operation.errors)
    faults = {code: _element(namespace, code, _spyne_fault.Fault) for code in codes}
    methods = {
        name: _method(namespace, operation, [faults[error.code] for error in operation.errors])
        for name, operation in operations.items()
    }
    declared = type("Operations", (_spyne.Service,), methods)
    application = _spyne.Application(
        [declared], namespace, service, in_protocol=_spyne_soap.Soap11(), out_protocol=_spyne_soap.Soap11()
    )
    _spyne_registry.unregister_application(application)  # or it would be kept for the life of the worker
    document = _Layout(application.interface)
    document.build_interface_document(_PLACEHOLDER)
    return etree.fromstring(document.get_interface_document())


def _element(namespace: str, name: str, base: Any) -> Any:
    """A class that stands for a wrapper element; what is in the element is not spyne's. It takes no empty ones."""
    members = {"__namespace__": namespace, "__type_name__": name, "_type_info": [("content", _spyne.Unicode)]}
    return type(base)(name, (base,), members)


def _method(namespace: str, operation: Operation, faults: list[Any]) -> Any:
    """A spyne method in the bare style, whose one part each way is the wrapper element itself."""

    def method(_context: Any, _request: Any) -> None:
        """Never called: operations run behind the policy chain, not in spyne."""

    method.__name__ = operation.name
    request, response = messages.request_record(operation).name, messages.response_record(operation).name
    decorate = _spyne.rpc(
        _element(namespace, request, _spyne.ComplexModel),
        _returns=_element(namespace, response, _spyne.ComplexModel),
        _throws=faults,
        _body_style="bare",
        _in_message_name=request,
        _out_message_name=response,
    )
    return decorate(method)


def _describe(root: Element, operations: Mapping[str, Operation]) -> None:
    """Documentation, which WSDL wants first (section 2.1), and no order of parameters, which is for rpc."""
    for element in root.iterfind(f"{{{WSDL}}}portType/{{{WSDL}}}operation"):
        element.attrib.pop("parameterOrder", None)
        operation = operations[element.get("name", "")]
        words = operation.description or operation.summary
        for old in element.findall(f"{{{WSDL}}}documentation"):
            element.remove(old)
        if words:
            documentation = etree.Element(f"{{{WSDL}}}documentation")
            documentation.text = words
            element.insert(0, documentation)


def _bind(root: Element, service: str, namespace: str) -> None:
    """spyne's binding becomes that of SOAP 1.1; its twin that of SOAP 1.2, each with a port."""
    binding = root.find(f"{{{WSDL}}}binding")
    port = root.find(f"{{{WSDL}}}service/{{{WSDL}}}port")
    assert binding is not None
    assert port is not None
    parent = port.getparent()
    assert parent is not None
    binding[0].set("transport", _HTTP)
    for action in binding.iter(f"{{{SOAP11_BINDING}}}operation"):
        action.set("soapAction", messages.action_of(namespace, action.get("soapAction", "")))
    twin, twin_port = deepcopy(binding), deepcopy(port)
    _name_binding(binding, port, f"{service}-soap11")
    _name_binding(twin, twin_port, f"{service}-soap12")
    for each in (twin, twin_port):
        _in_soap12(each)
    binding.addnext(twin)
    parent.append(twin_port)
    parent.set("name", service)


def _name_binding(binding: Element, port: Element, name: str) -> None:
    binding.set("name", name)
    port.set("name", name)
    port.set("binding", f"tns:{name}")


def _in_soap12(root: Element) -> None:
    for element in root.iter(f"{{{SOAP11_BINDING}}}*"):
        element.tag = f"{{{SOAP12_BINDING}}}{etree.QName(element).localname}"
