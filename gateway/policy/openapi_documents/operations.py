"""The operations of an OpenAPI document, compiled to checks of requests and replies.

Imported by `build` of the kind `openapi`, and by nobody else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, quote

import jsonschema_rs

from gateway.core.errors import Detail
from gateway.core.exchange import Head, Reply
from gateway.policy.content import json_schemas, media
from gateway.policy.content.inspection import MOST
from gateway.policy.content.json_schemas import Validate
from gateway.policy.openapi_documents.document import Document, Located
from gateway.policy.openapi_documents.parameters import Given, Parameter, Types, cookies_of, parameter, query_of
from gateway.policy.openapi_documents.paths import Paths

_URI: Final = "urn:penstock:openapi"
_PARAMETERS: Final = 1000  # of one query
_OWN: Final = frozenset(("accept", "content-type", "authorization"))  # header parameters that OpenAPI ignores

Body = Callable[[bytes], list[Detail]]


@dataclass(frozen=True, slots=True)
class Contents:
    """Checks of bodies by media type; `application/*` and `*/*` stand for many."""

    by_type: Mapping[str, Body | None]

    def find(self, media_type: str) -> tuple[bool, Body | None]:
        """(the type is declared, its check)."""
        for each in (media_type, media_type.partition("/")[0] + "/*", "*/*"):
            if each in self.by_type:
                return True, self.by_type[each]
        return False, None


@dataclass(frozen=True, slots=True)
class Response:
    contents: Contents
    headers: tuple[tuple[bytes, str], ...]  # those that must be there


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. `names`: the query parameters that it declares; None: objects take any."""

    parameters: tuple[Parameter, ...]
    names: frozenset[str] | None
    body: Contents | None
    body_required: bool
    responses: Mapping[str, Response]

    def check_head(self, head: Head, path: Mapping[str, str], closed: bool) -> list[Detail]:
        """What is wrong with the parameters; `closed`: undeclared query parameters are wrong as well."""
        try:
            query = query_of(head.query, _PARAMETERS)
        except ValueError:
            return [Detail("query", f"has more than {_PARAMETERS} parameters", "limit")]
        header = _header_of(head)
        given = Given(path, query, header, cookies_of(header("cookie")))
        found = [detail for each in self.parameters for detail in each.check(given)]
        if closed and self.names is not None:
            unknown = dict.fromkeys(name for name, _ in query if name not in self.names)
            found += [Detail(f"query.{name[:100]}", "is not declared", "unknown") for name in unknown]
        return found[:MOST]

    def body_of(self, media_type: str, there: bool) -> tuple[list[Detail], Body | None]:
        """(what is wrong before the body is read, its check)."""
        if self.body is None:
            return ([Detail("$", "is not declared: send the request without a body", "unknown")] if there else []), None
        if not there:
            return ([Detail("$", "is required: send a body", "required")] if self.body_required else []), None
        declared, check = self.body.find(media_type)
        if not declared:
            known = ", ".join(self.body.by_type)
            return [Detail("header.Content-Type", f"is not declared; send {known}", "media_type")], None
        return [], check

    def response_of(self, status: int) -> Response | None:
        for key in (str(status), f"{status // 100}XX", f"{status // 100}xx", "default"):
            if key in self.responses:
                return self.responses[key]
        return None

    def check_reply(self, reply: Reply) -> tuple[list[Detail], Body | None]:
        """(what is wrong before the body is read, its check)."""
        response = self.response_of(reply.status)
        if response is None:
            return [Detail("status", f"{reply.status} is not declared", "status")], None
        missing = [name for name, text in response.headers if reply.get(name) is None]
        found = [Detail(f"header.{name.decode()}", "is required", "required") for name in missing]
        if not response.contents.by_type or not reply.body:
            return found, None
        declared, check = response.contents.find(media.of_reply(reply))
        if not declared:
            found.append(Detail("header.Content-Type", "is not declared for this status", "media_type"))
        return found, check


def _header_of(head: Head) -> Callable[[str], str | None]:
    def find(name: str) -> str | None:
        value = head.get(name.lower().encode("latin-1"))
        return None if value is None else value.decode("latin-1")

    return find


def compiled(given: Any) -> Paths:
    """The operations of a document, by their paths. ValueError with what cannot be used."""
    document = Document(given)
    compiler = _Compiler(document)
    paths = Paths()
    for path, method, operation, item in document.operations():
        try:
            paths.add(path, method, compiler.operation(operation, item))
        except ValueError as error:
            raise ValueError(f"{method} {path}: {error}") from None
    return paths


class _Compiler:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.types = Types(document)
        try:
            self.registry = jsonschema_rs.Registry([(_URI, document.root)], draft=jsonschema_rs.Draft202012)
        except (ValueError, jsonschema_rs.ReferencingError) as error:
            raise ValueError(f"the document's references cannot be read: {str(error)[:300]}") from None
        self.known: dict[str, Validate] = {}

    def validate(self, schema: Located) -> Validate:
        """Each schema once; what it refers to is found in the document."""
        if schema.pointer not in self.known:
            reference = {"$ref": _URI + "#" + quote(schema.pointer[1:], safe="/~")}
            self.known[schema.pointer] = json_schemas.compiled(reference, {}, "a schema", self.registry)
        return self.known[schema.pointer]

    def operation(self, part: Located, item: Located) -> Operation:
        parameters = self._parameters(item) | self._parameters(part)
        objects = any(self._is_open(each) for each in parameters.values())
        compiled = tuple(parameter(each, self.document, self.validate) for each in parameters.values())
        names = None if objects else frozenset(name for where, name in parameters if where == "query")
        body = self.document.find(part, "requestBody")
        return Operation(
            compiled,
            names,
            None if body is None else self._contents(body),
            body is not None and body.value.get("required") is True,
            {status: self._response(each) for status, each in self.document.members(part, "responses")},
        )

    def _parameters(self, part: Located) -> dict[tuple[str, str], Located]:
        found: dict[tuple[str, str], Located] = {}
        for each in self.document.items(part, "parameters"):
            where, name = str(each.value.get("in")), str(each.value.get("name"))
            if where != "header" or name.lower() not in _OWN:
                found[where, name] = each
        return found

    def _is_open(self, part: Located) -> bool:
        return part.value.get("in") == "query" and "object" in self.types.of(self.document.find(part, "schema"))

    def _contents(self, part: Located) -> Contents:
        found: dict[str, Body | None] = {}
        for name, content in self.document.members(part, "content"):
            media_type = media.essence(name.encode("latin-1", "replace")) or name.lower()
            schema = self.document.find(content, "schema")
            found[media_type] = None if schema is None else self._body(media_type, schema)
        return Contents(found)

    def _body(self, media_type: str, schema: Located) -> Body | None:
        if media.is_json(media_type):
            return json_schemas.check_bodies(self.validate(schema))
        if media_type == "application/x-www-form-urlencoded":
            return _form(self.validate(schema), self.types.properties(schema))
        return None

    def _response(self, part: Located) -> Response:
        headers = tuple(
            (name.encode("latin-1"), name)
            for name, each in self.document.members(part, "headers")
            if each.value.get("required") is True
        )
        return Response(self._contents(part), headers)


def _form(validate: Validate, properties: Mapping[str, Callable[[str], Any]]) -> Body:
    def check(body: bytes) -> list[Detail]:
        try:
            pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=_PARAMETERS)
        except ValueError:
            return [Detail("$", f"is no form of at most {_PARAMETERS} fields", "limit")]
        values: dict[str, Any] = {}
        for name, text in pairs:
            value = properties.get(name, str)(text)
            if name in values:
                before = values[name]
                values[name] = [*before, value] if isinstance(before, list) else [before, value]
            else:
                values[name] = value
        return validate(values)

    return check
