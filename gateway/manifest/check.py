"""What can be said of one bundle without knowing any kind: names that nothing has, shapes that contradict. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, date, datetime, time
from typing import Any, Final

from gateway.core import target as targets
from gateway.core.durations import seconds
from gateway.core.errors import BadRequest
from gateway.core.findings import Finding
from gateway.manifest.bundle import Bundle, Schema
from gateway.manifest.check_http import check_http, hashed_parameter
from gateway.manifest.documents import BackendDeclaration, Drop, Endpoint, EntitySet, Operation, Step, TopicTarget
from gateway.manifest.inherit import parent_places
from gateway.manifest.plain_words import near
from gateway.manifest.site import Keys, Version

_SEGMENT: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*|\{[A-Za-z_][A-Za-z0-9_]*\}")
_PARTS: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2}|\{[A-Za-z_][A-Za-z0-9_]*\})*")
_TEMPLATE: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_VARIABLE: Final = re.compile(r"\{[^}]*\}|\*\*")
_BODILESS: Final = ("GET", "HEAD")


def check(bundle: Bundle) -> list[Finding]:
    """Everything that is wrong, in the order of places."""
    checking = _Checking(bundle)
    checking.all()
    return sorted(set(checking.version.findings))


class _Checking:
    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.manifest = bundle.manifest
        self.version = Version(bundle.manifest, parent_places(bundle))
        self.refuse = self.version.refuse
        self.relays = [name for name, each in bundle.manifest.backends.items() if each.http is not None]

    def all(self) -> None:
        steps: tuple[Callable[[], None], ...] = (
            self.head, self.lifecycle, self.backends, self.operations, self.routes, self.soap, self.odata,
            self.listeners, self.policies,
        )  # fmt: skip
        for step in steps:
            step()

    def known(self, name: str, names_: Collection[str], keys: Keys, what: str) -> bool:
        if name in names_:
            return True
        self.refuse(keys, f"unknown-{what.rsplit(maxsplit=1)[-1]}", f"there is no {what} {name!r}.", near(name, names_))
        return False

    # head

    def head(self) -> None:
        path = self.manifest.base_path
        inside = re.findall(r"\{([^}]*)\}", path)
        if any(name != "version" for name in inside) or path.count("{") != len(inside) or len(inside) > 1:
            hint = "Only {version} may stand there, once, such as /shop/{version}."
            self.refuse(("base_path",), "template", f"the base path {path!r} is malformed.", hint)
        else:
            self.servable(("base_path",), path)
        for name, declared in self.manifest.values.items():
            if declared.required and declared.default is not None:
                message = f"the value {name} is required and has a default."
                self.refuse(("values", name), "value-declaration", message, "Leave one of the two out.")

    def lifecycle(self) -> None:
        given = self.manifest.lifecycle
        if given.since is not None and given.status not in ("deprecated", "retired"):
            hint = "Set status: deprecated, or leave since out."
            self.refuse(("lifecycle", "since"), "lifecycle", f"a {given.status} version is not deprecated.", hint)
        if given.since is not None and given.sunset is not None and _moment(given.sunset) < _moment(given.since):
            hint = "RFC 8594: the sunset must not be earlier than the deprecation."
            self.refuse(("lifecycle", "sunset"), "lifecycle", "the sunset is before the deprecation.", hint)
        if given.successor == self.manifest.version:
            message = "a version cannot be its own successor."
            self.refuse(("lifecycle", "successor"), "lifecycle", message, "Name a newer version.")

    # backends

    def backends(self) -> None:
        for name, each in self.manifest.backends.items():
            keys = ("backends", name)
            self.one_of(keys, f"the backend {name}", {"http": each.http, "sql": each.sql})
            self.timings(keys, each)
            for wrong in check_http(each.http) if each.http else ():
                self.refuse((*keys, "http", *wrong.keys), wrong.code, wrong.message, wrong.hint)

    def timings(self, keys: Keys, declared: BackendDeclaration) -> None:
        if declared.sql is not None and "${" not in declared.sql.timeout:
            self.duration((*keys, "sql", "timeout"), declared.sql.timeout)

    def duration(self, keys: Keys, text: str) -> None:
        try:
            seconds(text)
        except ValueError as error:
            self.refuse(keys, "duration", str(error))

    def one_of(self, keys: Keys, what: str, kinds: Mapping[str, Any]) -> None:
        """Exactly one kind."""
        given = [name for name, value in kinds.items() if value is not None]
        if len(given) > 1:
            null = f" To leave an inherited one out write {given[0]}: null." if self.manifest.extends else ""
            message = f"{what} has {' and '.join(given)}."
            self.refuse((*keys, given[-1]), "one-kind", message, f"Keep exactly one.{null}")
        elif not given:
            self.refuse(keys, "one-kind", f"{what} has no kind.", f"Give it exactly one of {', '.join(kinds)}.")

    # operations

    def operations(self) -> None:
        for name, each in self.manifest.operations.items():
            keys = ("operations", name)
            kinds = {"python": each.python, "http": each.http, "soap": each.soap, "fixed": each.fixed}
            self.one_of(keys, f"the operation {name}", kinds)
            if each.soap is not None:
                self.soap_call((*keys, "soap"), each)
            if each.http is not None:
                self.http(keys, each)

    def soap_call(self, keys: Keys, operation: Operation) -> None:
        given = operation.soap
        assert given is not None
        self.known(given.backend, self.relays, (*keys, "backend"), "http backend")
        for element, code in given.errors.items():
            self.known(code, operation.errors or {}, (*keys, "errors", element), "declared error")
        if given.response is None and operation.output is not None:
            message = "an output needs the element of the answer."
            self.refuse((*keys, "response"), "soap-call", message, "Name it, or write output: null.")

    def http(self, keys: Keys, operation: Operation) -> None:
        given = operation.http
        assert given is not None
        here = (*keys, "http")
        self.known(given.backend, self.relays, (*here, "backend"), "http backend")
        method, _, path = given.request.partition(" ")
        self.template((*here, "request"), path)
        parameters = operation.input or {}
        named = [((*here, "request"), name) for name in _TEMPLATE.findall(path)]
        named += [((*here, "query", key), name) for key, name in given.query.items()]
        named += [((*here, "headers", key), name) for key, text in given.headers.items() for name in _braces(text)]
        named += [((*here, "body"), given.body)] if given.body is not None else []
        for where, name in named:
            self.known(name, parameters, where, "parameter")
        for unsent in sorted(set(parameters) - {name for _, name in named}):
            hint = "Put it into the request's path, query, headers or body, or take it out of the input."
            self.refuse((*keys, "input", unsent), "unused-parameter", f"the parameter {unsent} is sent nowhere.", hint)
        if method == "GET" and given.body is not None:
            self.refuse((*here, "body"), "body", "a GET request has no body.", "Use POST, or send it in the query.")
        for status, code in given.errors.items():
            self.known(code, operation.errors or {}, (*here, "errors", str(status)), "declared error")

    # REST

    def routes(self) -> None:
        shapes: dict[str, str] = {}
        for route, target in self.manifest.rest.items():
            keys = ("rest", route)
            method, _, path = route.partition(" ")
            self.template(keys, path, wild=True)
            shape = f"{method} {_TEMPLATE.sub('{}', path)}"
            if shapes.setdefault(shape, route) != route:
                hint = "They differ in names of parameters only; keep one."
                self.refuse(keys, "same-route", f"{route} matches the same requests as {shapes[shape]}.", hint)
            endpoint = Endpoint(call=target) if isinstance(target, str) else target
            self.endpoint(keys, method, path, endpoint)

    def template(self, keys: Keys, path: str, *, wild: bool = False) -> None:
        path = path.partition("?")[0] if not wild else path
        segments, sound = path.split("/")[1:], True
        for index, segment in enumerate(segments):
            if segment == "**" and wild and index == len(segments) - 1:
                continue
            if "**" in segment or not (_SEGMENT if wild else _PARTS).fullmatch(segment):
                kind = (
                    "plain text or one {parameter}; ** may be the last one" if wild else "plain text and {parameters}"
                )
                hint = f"A segment is {kind}; anything else is percent-encoded."
                self.refuse(keys, "template", f"the segment {segment!r} of {path} is malformed.", hint)
                sound = False
        if wild and sound:
            self.servable(keys, path)
        found = _TEMPLATE.findall(path)
        for name in sorted({name for name in found if found.count(name) > 1}):
            self.refuse(keys, "template", f"the parameter {name} is in {path} twice.", "Give each a name of its own.")

    def servable(self, keys: Keys, path: str) -> None:
        """A path that requests can have at all (the table in `core.target`)."""
        try:
            targets.check(_VARIABLE.sub("x", path).encode())
        except BadRequest as problem:
            self.refuse(keys, "template", f"no request can have the path {path}.", problem.detail)

    def endpoint(self, keys: Keys, method: str, path: str, endpoint: Endpoint) -> None:
        self.one_of(keys, f"the endpoint {keys[-1]}", {"call": endpoint.call, "relay": endpoint.relay})
        if endpoint.relay is not None:
            self.relay(keys, path, endpoint)
        if endpoint.call is None:
            return
        if endpoint.path is not None:
            message = "path belongs to a relay."
            self.refuse((*keys, "path"), "endpoint", message, "A call's path is in its operation.")
        if endpoint.websocket is not None:
            message = "websocket belongs to a relay."
            self.refuse((*keys, "websocket"), "endpoint", message, "A call has one request and one answer.")
        if isinstance(endpoint.call, TopicTarget):
            self.topic(keys, method, endpoint)
        elif self.known(endpoint.call, self.manifest.operations, (*keys, "call"), "operation"):
            self.call(keys, method, path, endpoint)

    def relay(self, keys: Keys, path: str, endpoint: Endpoint) -> None:
        assert endpoint.relay is not None
        if self.known(endpoint.relay, self.relays, (*keys, "relay"), "http backend"):
            self.hashed(keys, path, endpoint.relay)
        for key in ("body", "query", "headers", "status"):
            if getattr(endpoint, key):
                self.refuse((*keys, key), "endpoint", f"{key} belongs to a call.", "A relay passes bytes through.")
        upstream = endpoint.path
        if upstream is None:
            return
        self.upstream_path((*keys, "path"), upstream)
        if "**" in upstream and not path.endswith("/**"):
            message = "the upstream path has **, and the route has none."
            self.refuse((*keys, "path"), "template", message, "Let the route end in /**.")
        for name in _braces(upstream):
            self.known(name, _TEMPLATE.findall(path), (*keys, "path"), "parameter")

    def upstream_path(self, keys: Keys, upstream: str) -> None:
        if not upstream.startswith("/"):
            self.refuse(keys, "template", f"the upstream path {upstream!r} must begin with a slash.")
        elif re.search(r"[^!-~]|[?#]", upstream):
            message = f"the upstream path {upstream!r} holds a blank, a query or a fragment."
            self.refuse(keys, "template", message, "Write the path alone, percent-encoded; a request's query goes on.")
        else:
            self.servable(keys, upstream)

    def hashed(self, keys: Keys, path: str, backend: str) -> None:
        http = self.manifest.backends[backend].http
        name = hashed_parameter(http) if http is not None else None
        if name is not None and name not in _TEMPLATE.findall(path):
            message = f"the backend {backend} hashes by the parameter {name}, and the route has none."
            self.refuse((*keys, "relay"), "unknown-parameter", message, f"Let the route have {{{name}}} in its path.")

    def topic(self, keys: Keys, method: str, endpoint: Endpoint) -> None:
        if method in _BODILESS:
            message = f"{method} sends no message."
            self.refuse(keys, "endpoint", message, "A topic is written to by POST, PUT or PATCH.")
        for key in ("body", "query", "headers"):
            if getattr(endpoint, key):
                message = f"{key} names parameters, and a topic has none."
                self.refuse((*keys, key), "endpoint", message, "The whole body is the message.")

    def call(self, keys: Keys, method: str, path: str, endpoint: Endpoint) -> None:
        contract = self.bundle.contracts.get(str(endpoint.call))
        if contract is None:
            return
        parameters = contract.input.get("properties", {})
        for name in _TEMPLATE.findall(path):
            self.known(name, parameters, keys, "parameter")
        for key in ("query", "headers"):
            for name in getattr(endpoint, key):
                self.known(name, parameters, (*keys, key, name), "parameter")
        if endpoint.body is not None and self.known(endpoint.body, parameters, (*keys, "body"), "parameter"):
            self.body(keys, method, path, endpoint.body)
        if path.endswith("/**"):
            self.refuse(keys, "template", "a call cannot have ** in its path.", "Name the parts: /orders/{id}.")

    def body(self, keys: Keys, method: str, path: str, name: str) -> None:
        if method in _BODILESS:
            self.refuse((*keys, "body"), "body", f"{method} has no body.", "Use POST, PUT or PATCH.")
        if name in _TEMPLATE.findall(path):
            message = f"the parameter {name} is in the path already."
            self.refuse((*keys, "body"), "body", message, "It can be given in one place only.")

    # SOAP, OData, events

    def soap(self) -> None:
        if self.manifest.soap is not None:
            self.listed(("soap", "operations"), self.manifest.soap.operations)

    def listed(self, keys: Keys, operations: list[str]) -> None:
        for index, name in enumerate(operations):
            self.known(name, self.manifest.operations, (*keys, index), "operation")
            if name in operations[:index]:
                self.refuse((*keys, index), "twice", f"the operation {name} is listed twice.", "Keep one.")

    def odata(self) -> None:
        odata = self.manifest.odata
        if odata is None:
            return
        keys = ("odata", "operations")
        self.listed(keys, odata.operations)
        for index, name in enumerate(odata.operations):
            if name in odata.entity_sets:
                message = f"{name} is the name of an entity set and of an operation."
                self.refuse((*keys, index), "name-clash", message, "OData 4.01 Part 3, 13: give one another name.")
            self.odata_types((*keys, index), name)
        for name, each in odata.entity_sets.items():
            self.entity_set(("odata", "entity_sets", name), each)

    def odata_types(self, keys: Keys, name: str) -> None:
        contract = self.bundle.contracts.get(name)
        parts = {**contract.input.get("properties", {}), "output": contract.output} if contract else {}
        for part, schema in parts.items():
            if schema == {}:
                message = f"the operation {name} has {part} of any type, which OData cannot carry."
                self.refuse(keys, "odata-type", message, "Give it a type, or leave the operation out here.")

    def entity_set(self, keys: Keys, each: EntitySet) -> None:
        self.one_of(keys, f"the entity set {keys[-1]}", {"table": each.table, "call": each.call})
        if each.call is not None and self.known(each.call, self.manifest.operations, (*keys, "call"), "operation"):
            if each.columns is not None:
                self.refuse((*keys, "columns"), "entity-set", "columns belong to a table.", "Leave them out.")
            self.called_set(keys, each)
        if each.table in self.bundle.tables:
            self.key(keys, each, self.bundle.types.get(self.bundle.entity_types.get(str(keys[-1]), ""), {}))
        sets = self.manifest.odata.entity_sets if self.manifest.odata else {}
        for name, navigation in each.navigation.items():
            self.known(navigation.to, sets, (*keys, "navigation", name, "to"), "entity set")

    def called_set(self, keys: Keys, each: EntitySet) -> None:
        contract = self.bundle.contracts.get(str(each.call))
        if contract is None:
            return
        output: Schema = contract.output or {}
        items: Schema = output.get("items", {})
        record: Schema = self.bundle.types.get(str(items.get("$ref", "")).removeprefix("#/types/"), items)
        if contract.effect != "safe" or contract.input.get("required") or not record.get("properties"):
            message = f"{each.call} cannot be an entity set."
            hint = "It must be safe, need no parameter, and answer a list of a named record."
            self.refuse((*keys, "call"), "entity-set", message, hint)
        else:
            self.key(keys, each, record)

    def key(self, keys: Keys, each: EntitySet, record: Schema) -> None:
        properties: Schema = record.get("properties", {})
        table = self.bundle.tables.get(each.table or "")
        primary = [column.name for column in table.columns if column.primary_key] if table else []
        if not (each.key or primary):
            hint = "Name the properties that tell its rows apart: key: [id]."
            self.refuse(keys, "key", f"the entity set {keys[-1]} has no key.", hint)
        for index, name in enumerate(each.key or primary):
            where: Keys = (*keys, "key", index) if each.key else (*keys, "columns")
            if self.known(name, properties, where, "property") and _nullable(properties[name]):
                hint = "OData 4.01 Part 3, 6.5: a key is never null."
                self.refuse(where, "key", f"the key {name} of {keys[-1]} may be null.", hint)

    def listeners(self) -> None:
        for name, each in self.manifest.listeners.items():
            keys = ("listeners", name)
            found = self.known(name, self.manifest.operations, keys, "operation")
            contract = self.bundle.contracts.get(name)
            if found and contract and each.body is not None:
                self.known(each.body, contract.input.get("properties", {}), (*keys, "body"), "parameter")
            if each.retry.preset is not None and each.retry.delays is not None:
                self.refuse((*keys, "retry"), "retry", "preset and delays are both given.", "Keep one.")
            for index, delay in enumerate(each.retry.delays or ()):
                self.duration((*keys, "retry", "delays", index), delay)

    # policies

    def policies(self) -> None:
        for keys, steps in self.version.step_lists():
            seen: dict[str, int] = {}
            for index, step in enumerate(steps):
                name = _step_id(step)
                if seen.setdefault(name, index) != index:
                    self.twice((*keys, index), name)
                if isinstance(step, Step) and step.locked:
                    message = "only steps of the gateway's policy can be locked."
                    self.refuse((*keys, index, "locked"), "locked", message, "Leave it out.")

    def twice(self, keys: Keys, name: str) -> None:
        if name == "base":
            self.refuse(keys, "same-id", "base stands twice in this list.", "Leave one of them.")
        else:
            hint = "Give one of them an id of its own."
            self.refuse(keys, "same-id", f"two steps of this list have the id {name!r}.", hint)


def _step_id(step: Step | Drop | str) -> str:
    if isinstance(step, str):
        return step.partition("@")[0]
    return f"drop {step.drop}" if isinstance(step, Drop) else step.id or step.use


def _braces(text: str) -> Iterator[str]:
    without = re.sub(r"\$\{[^}]*\}", "", text)
    yield from _TEMPLATE.findall(without)


def _nullable(schema: Schema) -> bool:
    kinds = schema.get("type")
    return (isinstance(kinds, list) and "null" in kinds) or {"type": "null"} in schema.get("anyOf", ())


def _moment(given: date | datetime) -> datetime:
    moment = given if isinstance(given, datetime) else datetime.combine(given, time.min)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
