"""One operation without an entity set: a function import where it is safe (GET, parameters in the URL), an action
import otherwise (POST, parameters in a JSON object)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway.core.call import Call, Context
from gateway.core.errors import BadRequest, NotImplementedHere, UnsupportedMediaType
from gateway.core.exchange import Exchange, Reply
from gateway.core.identity import ANONYMOUS
from gateway.frontend.odata import options, payload
from gateway.frontend.odata.negotiation import Format, json_format
from gateway.frontend.odata.url import Url
from gateway.query.names import nearest
from gateway.schema.edm import json_reader, json_writer, literal_reader
from gateway.schema.json_loads import loads
from gateway.schema.types import Enumeration, Field, Operation, Record, Scalar, Type, Types

_OPTIONS: Final = frozenset(("$format",))
_QUERYING: Final = frozenset(("$filter", "$select", "$orderby", "$top", "$skip", "$count", "$skiptoken"))
Read = Callable[[str], Any]


class OperationImport:
    """Compiled at publish time. ValueError for types that EDM has not."""

    def __init__(
        self,
        operation: Operation,
        component: str,
        version: str,
        namespace: str,
        types: Types,
        root: Callable[[Exchange], str],
    ) -> None:
        self.operation = operation
        self.is_function = operation.effect == "safe"
        self._root = root
        self._place = (component, version, operation.name)
        self._parameters = {part.name: _parameter(part, types) for part in operation.input.fields}
        self._bodies = {ieee754: json_reader(operation.input, False, types, ieee754) for ieee754 in (False, True)}
        output = None if operation.output is None else types.resolve(operation.output)
        self._record = payload.Writers(output, types, namespace) if isinstance(output, Record) else None
        self._fragment = "" if operation.output is None else payload.type_of(operation.output, types, namespace)
        self._writers = {} if operation.output is None else _writers(operation.output, operation.output_nullable, types)

    def decode(self, exchange: Exchange) -> None:
        """Puts the call on the exchange; `exchange.parsed` is the Url, and a Format afterwards."""
        url: Url = exchange.parsed
        if querying := _QUERYING & set(url.options):
            raise NotImplementedHere(f"{min(querying)} on the result of an operation is not supported here.")
        options.allow(url.options, _OPTIONS, "an operation")
        if len(url.segments) > 1:
            raise NotImplementedHere("Paths behind an operation are not supported here.")
        exchange.parsed = json_format(exchange.head, url.options.get("$format"))
        input_ = self._from_url(url) if self.is_function else self._from_body(exchange, url)
        component, version, name = self._place
        context = Context(exchange.id, component, version, name, "odata", exchange.identity or ANONYMOUS)
        exchange.call = Call(name, input_, context)

    def _from_url(self, url: Url) -> dict[str, Any]:
        """Parameters in parentheses; without those, in aliases of their names (4.01, implicit aliases)."""
        given = url.segments[0].arguments
        if given is None:
            given = {name[1:]: text for name, text in url.aliases.items()}
        input_: dict[str, Any] = {}
        for name, text in given.items():
            if name not in self._parameters:
                raise BadRequest(self._unknown(name), target=name or None)
            input_[name] = self._argument(name, url.value(text))
        for part in self.operation.input.fields:
            if part.name in input_:
                continue
            if part.required:
                raise BadRequest(f"{self.operation.name} needs the parameter {part.name}.", target=part.name)
            if part.default is not None:
                input_[part.name] = part.default
        return input_

    def _unknown(self, name: str) -> str:
        if not name:
            return (
                f"Parameters have names: {self.operation.name}({','.join(f'{one}=...' for one in self._parameters)})."
            )
        return f"{self.operation.name} has no parameter {name}.{nearest(name, self._parameters)}"

    def _argument(self, name: str, text: str) -> Any:
        try:
            return self._parameters[name](text)
        except ValueError as error:
            raise BadRequest(f"The parameter {name}, {text[:60]!r}, {error}.", target=name) from None

    def _from_body(self, exchange: Exchange, url: Url) -> dict[str, Any]:
        if url.segments[0].arguments is not None:
            raise BadRequest("An action takes its parameters in the body, not in parentheses.")
        body = exchange.body or b""
        kind, ieee754 = _body_type(exchange)
        if body and kind != "application/json":
            raise UnsupportedMediaType(
                "An action takes application/json.", headers=[(b"accept", b"application/json")], target="Content-Type"
            )
        given = loads(body) if body else {}
        if isinstance(given, dict):
            given = {name: value for name, value in given.items() if not _is_control(name)}
        input_: dict[str, Any] = self._bodies[ieee754](given)
        return input_

    def encode(self, exchange: Exchange, value: Any) -> Reply:
        format_: Format = exchange.parsed
        if self.operation.output is None or value is None:
            return payload.nothing()
        document: dict[str, Any] = {}
        if format_.metadata != "none":
            document["@odata.context"] = f"{self._root(exchange)}/$metadata#{self._fragment}"
        if self._record is not None and isinstance(value, Mapping):
            if format_.metadata == "full":
                document["@odata.type"] = f"#{self._fragment}"
            return payload.answer(document | self._record.write(value, self._record.names, format_), format_)
        document["value"] = self._writers[format_.ieee754](value)
        return payload.answer(document, format_)


def _writers(output: Type, nullable: bool, types: Types) -> dict[bool, Callable[[Any], Any]]:
    return {ieee754: json_writer(output, nullable, types, ieee754) for ieee754 in (False, True)}


def _parameter(part: Field, types: Types) -> Read:
    """A literal's reader; records and lists are JSON (URL conventions, section 5.3)."""
    type_ = types.resolve(part.type)
    if isinstance(type_, Scalar | Enumeration):
        read = literal_reader(type_)
        return (lambda text: None if text == "null" else read(text)) if part.nullable else read
    from_json = json_reader(part.type, part.nullable, types)
    return lambda text: from_json(loads(text.encode()))


def _body_type(exchange: Exchange) -> tuple[str, bool]:
    kind, *parameters = (exchange.head.get(b"content-type") or b"").decode("latin-1").lower().split(";")
    return kind.strip(), any(one.replace(" ", "") == "ieee754compatible=true" for one in parameters)


def _is_control(name: str) -> bool:
    """Control information (`@odata.type`, `amount@odata.type`), which carries nothing that is needed here."""
    return "@" in name
