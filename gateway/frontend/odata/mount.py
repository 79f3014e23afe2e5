"""The OData service of one version: its sets and operations below one root, its service document and `$metadata`.

What is read only answers 405 with Allow to other methods. Every reply has OData-Version once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from gateway.core.errors import MethodNotAllowed, NotFound, NotImplementedHere, Problem
from gateway.core.exchange import Exchange, Reply
from gateway.frontend.frontend import Document, TypedEndpoint
from gateway.frontend.odata import csdl, csdl_json, errors, url
from gateway.frontend.odata.entities import EntitySet
from gateway.frontend.odata.errors import VERSION
from gateway.frontend.odata.negotiation import check_version, json_format, require_type, takes
from gateway.frontend.odata.operations import OperationImport
from gateway.query.names import nearest
from gateway.schema.types import Operation, Types
from gateway.snapshot.spec import ODataSpec

_READ: Final = (b"GET", b"HEAD")


def rest_of_path(exchange: Exchange) -> bytes:
    """What the route's `**` matched."""
    return exchange.params[-1] if exchange.params else b""


class ODataMount:
    """A `frontend.Mount`. `root` gives the absolute URL of the service root that a client used; `rest_path` the raw
    path below it."""

    dispatch_needs_body: Final = False

    def __init__(
        self,
        component: str,
        version: str,
        odata: ODataSpec,
        operations: Mapping[str, Operation],
        types: Types,
        root: Callable[[Exchange], str],
        rest_path: Callable[[Exchange], bytes] = rest_of_path,
    ) -> None:
        """ValueError names sets, operations or types that CSDL cannot hold."""
        offered = {name: operations[name] for name in odata.operations}
        if doubled := sorted(set(offered) & set(odata.entity_sets)):
            raise ValueError(f"{', '.join(doubled)}: an entity set and an operation cannot share a name")

        def address(exchange: Exchange) -> str:
            return root(exchange).rstrip("/")

        place = (component, version, odata.namespace, types, address)
        self._sets = {name: EntitySet(spec, *place) for name, spec in odata.entity_sets.items()}
        self._imports = {name: OperationImport(operation, *place) for name, operation in offered.items()}
        self._metadata = _metadata(csdl.document(odata, offered, types))
        self._root = address
        self._rest_path = rest_path
        self.endpoints: Mapping[str, TypedEndpoint] = {
            name: TypedEndpoint(one.decode, one.encode, False) for name, one in self._sets.items()
        } | {name: TypedEndpoint(one.decode, one.encode, not one.is_function) for name, one in self._imports.items()}
        self.documents: Mapping[str, Document] = {
            "": self._service,
            "/": self._service,
            "/$metadata": self._csdl,
        }

    def render(self, exchange: Exchange, problem: Problem) -> Reply:
        return errors.render(exchange, problem)

    def dispatch(self, exchange: Exchange) -> str:
        """The set or operation that the URL names. Keeps the parsed URL in `exchange.parsed`."""
        head = exchange.head
        check_version(head)
        parsed = url.parse(self._rest_path(exchange), head.query)
        name = parsed.segments[0].name
        if name not in self.endpoints:
            raise self._missing(name)
        writing = name in self._imports and not self._imports[name].is_function
        if (head.method != b"POST") if writing else (head.method not in _READ):
            allowed = b"POST" if writing else b", ".join(_READ)
            raise MethodNotAllowed(
                f"{name} takes {allowed.decode()}, not {head.method.decode('latin-1')[:20]}.",
                headers=[(b"allow", allowed)],
            )
        exchange.parsed = parsed
        exchange.operation = name
        return name

    def _missing(self, name: str) -> Problem:
        if name.startswith("$") and name != "$metadata":
            return NotImplementedHere(f"{name[:40]} is not supported here.")
        return NotFound(f"There is no resource {name[:80]!r} here.{nearest(name, self.endpoints)}")

    def _service(self, exchange: Exchange) -> Reply:
        """The service document (JSON Format, section 5)."""
        check_version(exchange.head)
        given, _ = url.query_options(exchange.head.query)
        format_ = json_format(exchange.head, given.get("$format"))
        root = self._root(exchange)
        document: dict[str, Any] = {}
        if format_.metadata != "none":
            document["@odata.context"] = f"{root}/$metadata"
        document["value"] = [{"name": name, "kind": "EntitySet", "url": name} for name in self._sets]
        headers = [(b"content-type", format_.media_type), VERSION]
        return Reply(200, headers, orjson.dumps(document))

    def _csdl(self, exchange: Exchange) -> Reply:
        """XML unless a client rules it out; CSDL JSON is of 4.01 (Protocol, section 11.1.2)."""
        check_version(exchange.head)
        given, _ = url.query_options(exchange.head.query)
        option = given.get("$format")
        as_xml = takes(exchange.head, option, "application/xml")
        if not as_xml:
            require_type(exchange.head, option, "application/json")
        kind, body, etag, version = self._metadata["xml" if as_xml else "json"]
        headers = [(b"etag", etag), (b"vary", b"Accept"), (b"odata-version", version)]
        asked = (exchange.head.get(b"if-none-match") or b"").replace(b"W/", b"")
        if asked.strip() == b"*" or etag in (one.strip() for one in asked.split(b",")):
            return Reply(304, headers)
        return Reply(200, [(b"content-type", kind), *headers], body)


def _metadata(xml: bytes) -> dict[str, tuple[bytes, bytes, bytes, bytes]]:
    """Per form: media type, body, entity tag, OData-Version."""
    json = csdl_json.document(xml)
    return {
        "xml": (b"application/xml;charset=utf-8", xml, _tag(xml), b"4.0"),
        "json": (b"application/json;charset=utf-8", json, _tag(json), b"4.01"),
    }


def _tag(body: bytes) -> bytes:
    return b'"' + hashlib.sha256(body).hexdigest()[:16].encode() + b'"'
