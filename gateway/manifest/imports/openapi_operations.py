"""One operation of OpenAPI as a typed operation over HTTP and the binding of its route."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from gateway.manifest.imports.draft import identifier
from gateway.manifest.imports.keywords import Schema
from gateway.manifest.imports.references import Site
from gateway.manifest.imports.schemas import Schemas
from gateway.manifest.imports.short_forms import shortened
from gateway.manifest.imports.source import Value

_IGNORED: Final = frozenset(("accept", "content-type", "authorization"))  # OpenAPI: not described as parameters
_OWNED: Final = frozenset(
    ("connection", "content-encoding", "content-length", "expect", "host", "keep-alive", "te", "trailer",
     "transfer-encoding", "upgrade", "via")
)  # fmt: skip
_HEADER: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_PARAMETER: Final = re.compile(r"\{([^{}/]+)\}")
_EFFECTS: Final = {"get": "safe", "head": "safe", "put": "idempotent", "delete": "idempotent"}
_MAX_TEXT: Final = 2000


class Untypable(Exception):
    """Why a typed call cannot say it."""


@dataclass(slots=True)
class _Call:
    input: dict[str, Any] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None
    route_query: dict[str, str] = field(default_factory=dict)
    route_headers: dict[str, str] = field(default_factory=dict)


def typed(
    schemas: Schemas,
    given: Value,
    shared: Any,
    site: Site,
    method: str,
    route: str,
    path: str,
    to: tuple[str, str],
) -> tuple[Value, Value]:
    """(operation, what its route says beside the call). Untypable tells why there is none."""
    reading = _Reading(schemas, given, site.at(method), f"{method.upper()} {path}")
    if method == "head":
        raise Untypable("HEAD has no typed form of its own")
    call = reading.parameters(shared, site, route, path)
    reading.body(call, method)
    output, status = reading.output()
    errors, statuses = reading.errors()
    backend, prefix = to
    operation: Value = {}
    for key in ("summary", "description"):
        if text := str(given.get(key) or "").strip()[:_MAX_TEXT]:
            operation[key] = " ".join(text.split()) if key == "summary" else text
    operation |= {"effect": _EFFECTS.get(method, "writing"), "input": call.input, "output": output}
    if errors:
        operation["errors"] = errors
    http: Value = {"backend": backend, "request": f"{method.upper()} {prefix}{route.partition(' ')[2]}"}
    http |= {key: part for key, part in (("query", call.query), ("headers", call.headers)) if part}
    http |= {"body": call.body} if call.body else {}
    http |= {"errors": statuses} if statuses else {}
    endpoint = {
        "body": call.body, "query": call.route_query, "headers": call.route_headers,
        "status": status if status not in (200, 204) or (status == 200 and output is None) else None,
    }  # fmt: skip
    return operation | {"http": http}, {key: part for key, part in endpoint.items() if part}


class _Reading:
    def __init__(self, schemas: Schemas, given: Value, site: Site, at: str) -> None:
        self.schemas = schemas
        self.given = given
        self.site = site
        self.at = at

    def schema(self, schema: Any, site: Site) -> Schema:
        return self.schemas.settling.one(self.schemas.read(schema, site), site)

    def parameters(self, shared: Any, above: Site, route: str, path: str) -> _Call:
        found: dict[tuple[str, str], tuple[Value, Site]] = {}
        for listed, site in ((shared, above), (self.given.get("parameters"), self.site)):
            for index, each in enumerate(listed if isinstance(listed, list) else ()):
                value, there = self.schemas.references.follow(each, site.at("parameters", index))
                if not isinstance(value, dict) or not isinstance(value.get("name"), str):
                    raise Untypable(f"the parameter {index} has no name")
                found[str(value.get("in")), value["name"]] = value, there
        call = _Call()
        self.in_path(call, found, route, path)
        for (where, name), (value, site) in found.items():
            if where == "query":
                self.in_query(call, name, value, site)
            elif where == "header" and name.lower() not in _IGNORED:
                self.in_header(call, name, value, site)
            elif where == "cookie":
                if value.get("required"):
                    raise Untypable(f"the parameter {name} is a cookie")
                self.schemas.draft.note(self.at, f"the optional cookie {name} is not sent")
            elif where not in ("path", "header"):
                raise Untypable(f"the parameter {name} is in {where!r}")
        return call

    def in_path(self, call: _Call, found: dict[tuple[str, str], tuple[Value, Site]], route: str, path: str) -> None:
        names = _PARAMETER.findall(route)
        written = _PARAMETER.findall(path)
        if len(names) != len(written) or any(
            _PARAMETER.fullmatch(each) is None for each in path.split("/") if "{" in each or "}" in each
        ):
            raise Untypable("a segment of its path is more than one parameter")
        for name, original in zip(names, written, strict=True):
            value, site = found.get(("path", original), ({"schema": {"type": "string"}}, self.site))
            if value.get("style", "simple") != "simple":
                raise Untypable(f"the parameter {original} has the style {value['style']}")
            schema = self.text_schema(value, site, original)
            if schema.get("type") == "array":
                raise Untypable(f"the parameter {original} is a list in the path")
            call.input[name] = shortened(_required(schema))

    def in_query(self, call: _Call, name: str, value: Value, site: Site) -> None:
        schema = self.text_schema(value, site, name)
        style, explode = str(value.get("style", "form")), value.get("explode", True)
        is_list = _bare(schema).get("type") == "array"
        if is_list and (style != "form" or explode is False):
            raise Untypable(f"the list {name} has the style {style}{'' if explode else ', not exploded'}")
        if value.get("allowReserved"):
            self.schemas.draft.note(self.at, f"{name} is percent-encoded, though it allows reserved characters")
        own = self.add(call, name, schema, required=bool(value.get("required")))
        call.query[name] = own
        if own != name:
            call.route_query[own] = name

    def in_header(self, call: _Call, name: str, value: Value, site: Site) -> None:
        if not _HEADER.fullmatch(name) or name.lower() in _OWNED:
            raise Untypable(f"the header {name} cannot be a parameter")
        schema = self.text_schema(value, site, name)
        if _bare(schema).get("type") == "array":
            raise Untypable(f"the header {name} is a list")
        own = self.add(call, name, schema, required=bool(value.get("required")))
        call.headers[name], call.route_headers[own] = f"{{{own}}}", name

    def add(self, call: _Call, name: str, schema: Schema, *, required: bool) -> str:
        own = identifier(name, call.input)
        if required:
            schema = _required(schema)
        elif "default" not in schema:
            schema = _optional(schema)
        call.input[own] = shortened(schema)
        return own

    def text_schema(self, value: Value, site: Site, name: str) -> Schema:
        """The schema of what travels as text: a scalar, or a list of scalars."""
        if "schema" not in value:
            if value.get("content"):
                raise Untypable(f"the parameter {name} is serialized by a media type")
            return {"type": "string"}
        schema = self.schema(value["schema"], site.at("schema"))
        if isinstance(value.get("description"), str) and value["description"].strip():
            schema = (
                {**schema, "description": value["description"].strip()[:_MAX_TEXT]} if "$ref" not in schema else schema
            )
        inner = _bare(schema)
        item = _bare(inner.get("items", {})) if inner.get("type") == "array" else inner
        item = self.named(item)
        if item.get("type") in ("object", "array") or "properties" in item:
            raise Untypable(f"the parameter {name} is an object")
        if inner.get("type") != "array" and self.named(inner).get("type") == "array":
            raise Untypable(f"the parameter {name} is a named list")
        if not set(item) - {"description", "readOnly"}:
            if _loose(value["schema"]):
                raise Untypable(f"the parameter {name} has no one type")
            return {"type": "string"} | {key: part for key, part in schema.items() if key == "description"}
        return schema

    def named(self, schema: Schema) -> Schema:
        while "$ref" in schema:
            schema = _bare(self.schemas.draft.types.get(schema["$ref"].removeprefix("#/types/"), {}))
        return schema

    def body(self, call: _Call, method: str) -> None:
        given, site = self.schemas.references.follow(self.given.get("requestBody"), self.site.at("requestBody"))
        if given is None:
            return
        content = _content(given)
        media = next((each for each in content if _is_json(each)), None)
        if media is None:
            raise Untypable(f"its body is {', '.join(content) or 'not described'}")
        if method == "get":
            raise Untypable("a GET with a body")
        others = [each for each in content if each != media]
        if others:
            self.schemas.draft.note(self.at, f"only {media} is taken, not {', '.join(others)}")
        schema = self.schema(content[media].get("schema", {}), site.at("content", media, "schema"))
        call.body = identifier("body", call.input)
        call.input[call.body] = shortened(_required(schema) if given.get("required") else _optional(schema))

    def output(self) -> tuple[Any, int]:
        responses = self.responses()
        good = sorted(status for status in responses if status.isdigit() and 200 <= int(status) <= 299)
        if not good and "2XX" in {each.upper() for each in responses}:
            good = [each for each in responses if each.upper() == "2XX"]
        if not good:
            if set(responses) == {"default"}:
                good = ["default"]
            else:
                raise Untypable("no successful answer is described")
        made: list[tuple[Schema | None, int]] = []
        for status in good:
            value, site = responses[status]
            made.append((self.answer(value, site), int(status) if status.isdigit() else 200))
        with_body = [each for each in made if each[0] is not None]
        if not with_body:
            return None, made[0][1] if made[0][1] != 200 else 204
        schema, status_ = with_body[0]
        if any(each[0] != schema for each in with_body[1:]):
            raise Untypable(f"the answers {', '.join(good)} have different types")
        if len(made) > 1:
            self.schemas.draft.note(self.at, f"of the answers {', '.join(good)} clients get {status_}")
        if len(with_body) < len(made):
            if not schema:
                raise Untypable("it answers any JSON, or nothing")
            schema = _optional(schema or {})
        return shortened(schema), status_

    def responses(self) -> dict[str, tuple[Value, Site]]:
        found = {}
        given = self.given.get("responses")
        for status, each in (given if isinstance(given, dict) else {}).items():
            if not status.startswith("x-"):
                value, site = self.schemas.references.follow(each, self.site.at("responses", status))
                found[status] = (value if isinstance(value, dict) else {}), site
        return found

    def answer(self, value: Value, site: Site) -> Schema | None:
        """The type of a successful answer; None: it has no body."""
        for word in ("headers", "links"):
            if isinstance(value.get(word), dict) and value[word]:
                names = ", ".join(map(str, value[word]))
                self.schemas.draft.note(self.at, f"{word} of answers are not carried over: {names}")
        content = _content(value)
        if not content:
            return None
        media = next((each for each in content if _is_json(each) or each.startswith("*/*")), None)
        if media is None:
            raise Untypable(f"it answers {', '.join(content)}")
        schema = content[media].get("schema", {})
        return self.schema(schema, site.at("content", media, "schema"))

    def errors(self) -> tuple[dict[str, Any], dict[str, str]]:
        errors: dict[str, Any] = {}
        statuses: dict[str, str] = {}
        for status, (value, site) in sorted(self.responses().items()):
            if not status.isdigit():
                if status.lower() != "default" and status[:1] in "45":
                    self.schemas.draft.note(self.at, f"the answers {status} are not declared errors: they become a 502")
                continue
            if not 400 <= int(status) <= 599:
                if not 200 <= int(status) <= 299:
                    self.schemas.draft.note(self.at, f"the answer {status} is not carried over")
                continue
            code = identifier(_phrase(int(status)), errors)
            title = " ".join(str(value.get("description") or "").split())[:200]
            errors[code] = {"status": int(status)} | ({"title": title} if title else {}) | self.detail(value, site)
            statuses[status] = code
        return errors, statuses

    def detail(self, value: Value, site: Site) -> Value:
        content = _content(value)
        media = next((each for each in content if _is_json(each)), None)
        if media is None or not isinstance(content[media].get("schema"), dict):
            return {}
        schema = self.schema(content[media]["schema"], site.at("content", media, "schema"))
        return {"detail": shortened(schema)} if "properties" in self.named(schema) else {}


def _content(value: Any) -> dict[str, Value]:
    """Media types with what is said of each."""
    found = value.get("content") if isinstance(value, dict) else None
    listed = found.items() if isinstance(found, dict) else ()
    return {str(media): each if isinstance(each, dict) else {} for media, each in listed}


def _phrase(status: int) -> str:
    try:
        return re.sub(r"[^A-Za-z]", "", HTTPStatus(status).phrase.title())
    except ValueError:
        return f"Error{status}"


def _is_json(media: str) -> bool:
    name = media.partition(";")[0].strip().lower()
    return name == "application/json" or (
        name.startswith("application/")
        and name.endswith("+json")
        and name not in ("application/merge-patch+json", "application/json-patch+json")
    )


def _bare(schema: Schema) -> Schema:
    """Without null."""
    if isinstance(schema.get("anyOf"), list):
        return next((each for each in schema["anyOf"] if each != {"type": "null"}), {})
    kind = schema.get("type")
    return {**schema, "type": next(each for each in kind if each != "null")} if isinstance(kind, list) else schema


def _required(schema: Schema) -> Schema:
    """What must be given has no default: a parameter with one may be left out."""
    return {key: part for key, part in schema.items() if key != "default"}


def _optional(schema: Schema) -> Schema:
    if not schema or "anyOf" in schema or isinstance(schema.get("type"), list):
        return schema
    if isinstance(schema.get("type"), str) and schema["type"] not in ("array", "object"):
        return {**schema, "type": [schema["type"], "null"]}
    description = {"description": schema["description"]} if "description" in schema else {}
    return {
        "anyOf": [{key: part for key, part in schema.items() if key != "description"}, {"type": "null"}],
        **description,
    }


def _loose(schema: Any) -> bool:
    return isinstance(schema, dict) and any(
        word in schema for word in ("oneOf", "anyOf", "allOf", "additionalProperties")
    )
