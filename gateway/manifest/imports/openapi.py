"""`penstock import openapi`: OpenAPI 3.0 and 3.1, and Swagger 2.0 by way of 3.0.

Each operation becomes typed where a typed HTTP call can say it, and otherwise a relay route with the reason noted.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal
from urllib.parse import urljoin, urlsplit

from gateway.core.findings import DocumentsRefused
from gateway.manifest.imports.draft import Draft, component_name, identifier, refused, version_name
from gateway.manifest.imports.openapi_operations import Untypable, typed
from gateway.manifest.imports.references import Site
from gateway.manifest.imports.schemas import Schemas
from gateway.manifest.imports.security import policies
from gateway.manifest.imports.short_forms import shortened
from gateway.manifest.imports.source import Sources, Value
from gateway.manifest.imports.swagger import converted

Mode = Literal["auto", "typed", "relay"]

METHODS: Final = ("get", "head", "post", "put", "patch", "delete")
PLACEHOLDER: Final = "https://upstream.example"
_SEGMENT: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*")
_PARAMETER: Final = re.compile(r"\{([^{}/]+)\}")
_MAX_TEXT: Final = 2000


def import_openapi(sources: Sources, name: str = "", version: str = "", mode: Mode = "auto") -> Draft:
    """The draft of a component. DocumentsRefused: the document is none, or nothing could be made of it."""
    given = sources.value(sources.root)
    draft = Draft(name, version, sources.origin)
    if str(given.get("swagger")) == "2.0":
        given = converted(given, draft)
        sources.replace(sources.root, given)
    elif not re.match(r"3\.[01](\.|$)", str(given.get("openapi"))):
        found = given.get("openapi") or given.get("swagger") or "neither openapi nor swagger"
        hint = "OpenAPI 3.0 and 3.1, and Swagger 2.0 are read."
        raise refused(sources.origin, f"it says {str(found)[:40]!r}, which is not read.", hint, "import-version")
    return _Import(given, sources, draft, mode).draft_of()


class _Import:
    def __init__(self, given: Value, sources: Sources, draft: Draft, mode: Mode) -> None:
        self.given = given
        self.sources = sources
        self.draft = draft
        self.mode = mode
        self.schemas = Schemas(sources, draft)
        self.root = Site(sources.root, "")
        self.origins: dict[str, str] = {}
        self.shapes: dict[str, str] = {}

    def draft_of(self) -> Draft:
        draft = self.draft
        self.head()
        for word in ("webhooks", "x-webhooks"):
            if self.given.get(word):
                draft.note(f"#/{word}", "webhooks are not carried over")
        policies(_map(self.given, "components").get("securitySchemes"), self.given.get("security"), draft)
        for path, item in _map(self.given, "paths").items():
            if path.startswith("/"):
                self.item(path, item, self.root.at("paths", path))
            elif not path.startswith("x-"):
                draft.note(f"#/paths/{path}", "left out: a path begins with a slash")
        if not draft.rest:
            raise refused(self.sources.origin, "it has no operation that could be carried over.", _first(draft))
        self.schemas.settling.types()
        draft.types = {key: shortened(schema) for key, schema in draft.types.items()}
        draft.drop_unused_types()
        if self.mode == "typed":
            _all_typed(draft)
        return draft

    def head(self) -> None:
        info, draft = _map(self.given, "info"), self.draft
        title = str(info.get("title") or "")
        draft.name = draft.name or component_name(title or self.sources.origin.rpartition("/")[2].partition(".")[0])
        draft.version = draft.version or version_name(str(info.get("version") or ""))
        draft.title = " ".join(title.split())[:200]
        draft.description = str(info.get("description") or "").strip()[:_MAX_TEXT]

    # servers

    def backend(self, servers: Any, place: str) -> tuple[str, str]:
        """The backend of a list of servers, and the path that its requests begin with."""
        listed = [each for each in servers if isinstance(each, dict)] if isinstance(servers, list) else []
        url = self.server_url(listed, place)
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        if origin not in self.origins:
            self.origins[origin] = self.declare(origin, listed)
        return self.origins[origin], parts.path.rstrip("/")

    def server_url(self, listed: list[Value], place: str) -> str:
        if not listed:
            listed = [{"url": "/"}]
        if len(listed) > 1:
            others = ", ".join(str(each.get("url")) for each in listed[1:6])
            self.draft.note(place, f"the first server is the backend; the others are left out: {others}")
        url = str(listed[0].get("url") or "/")
        for name, variable in _map(listed[0], "variables").items():
            default = str(variable.get("default", "")) if isinstance(variable, dict) else ""
            url = url.replace(f"{{{name}}}", default)
            self.draft.note(place, f"the server's variable {name} is {default!r}")
        base = self.sources.root if self.sources.is_url else PLACEHOLDER
        try:
            found = urljoin(base, url)
            parts = urlsplit(found)
            sound = bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            found, parts, sound = url, urlsplit(""), False
        if base == PLACEHOLDER and found.startswith(PLACEHOLDER):
            self.draft.note(place, f"no server is named: set the value of the backend's URL ({PLACEHOLDER} now)")
        fits = sound and all(_SEGMENT.fullmatch(each) for each in parts.path.split("/"))
        if parts.scheme not in ("http", "https") or not parts.hostname or not fits:
            self.draft.note(place, f"the server {url!r} is no HTTP URL; {PLACEHOLDER} stands for it")
            return PLACEHOLDER
        return found

    def declare(self, origin: str, listed: list[Value]) -> str:
        draft = self.draft
        base = draft.name.replace("-", "_")
        wanted = "service" if not draft.backends else f"service_{len(draft.backends) + 1}"
        value = identifier(f"{base}_url" if not draft.backends else f"{base}_{wanted}_url", draft.values)
        text = str(listed[0].get("description") or "") if listed else ""
        draft.values[value] = {"default": origin, "description": text or "where the service listens"}
        draft.backends[wanted] = {"http": {"targets": [f"${{{value}}}"]}}
        return wanted

    # paths

    def item(self, path: str, given: Any, site: Site) -> None:
        try:
            item, site = self.schemas.references.follow(given, site)
        except DocumentsRefused as problem:
            self.draft.note(self.schemas.references.place(site), f"left out: {problem.findings[0].message}")
            return
        if not isinstance(item, dict):
            self.draft.note(self.schemas.references.place(site), "left out: no map of operations")
            return
        for method in ("options", "trace", "query"):
            if method in item:
                self.draft.note(f"{method.upper()} {path}", "left out: the gateway answers or refuses it itself")
        for method in METHODS:
            if isinstance(item.get(method), dict):
                self.operation(path, method, item, site)

    def operation(self, path: str, method: str, item: Value, site: Site) -> None:
        given, at = item[method], f"{method.upper()} {path}"
        if method == "head" and "get" in item:
            return  # HEAD is answered wherever GET is
        servers = next((each["servers"] for each in (given, item, self.given) if each.get("servers")), None)
        backend, prefix = self.backend(servers, "#/servers" if servers is self.given.get("servers") else at)
        for word in ("callbacks", "x-codegen-request-body-name"):
            if word == "callbacks" and given.get(word):
                self.draft.note(at, "callbacks are not carried over")
        route = self.route(path, method, at)
        if route is None:
            return
        relay = self.relay(route, backend, prefix, given)
        try:
            self.call(path, method, item, site, (backend, prefix), (route, relay))
        except Untypable as reason:
            self.draft.rest[route] = relay
            self.draft.note(at, f"relayed: {reason}")
        except DocumentsRefused as problem:
            self.draft.rest[route] = relay
            self.draft.note(at, f"relayed: {problem.findings[0].message}")

    def route(self, path: str, method: str, at: str) -> str | None:
        """The key of its route; each segment plain or one parameter. None, noted: another one has it."""
        taken: list[str] = []
        for segment in path.split("/")[1:]:
            taken.append(self.segment(segment, taken, at))
        made = "/" + "/".join(taken)
        shape = f"{method} {_PARAMETER.sub('{}', made)}"
        if shape in self.shapes:
            self.draft.note(at, f"left out: it matches the same requests as {self.shapes[shape]}")
            return None
        self.shapes[shape] = at
        return f"{method.upper()} {made}"

    def segment(self, segment: str, before: list[str], at: str) -> str:
        names = [each[1:-1] for each in before if each.startswith("{")]
        found = _PARAMETER.findall(segment)
        if not found and _SEGMENT.fullmatch(segment):
            return segment
        if len(found) != 1 or segment != f"{{{found[0]}}}":
            self.draft.note(at, f"the whole segment {segment!r} is one parameter here")
            return f"{{{identifier('_'.join(found) or segment, names)}}}"
        return f"{{{identifier(found[0], names)}}}"

    def relay(self, route: str, backend: str, prefix: str, given: Value) -> Value:
        path = route.partition(" ")[2]
        made: Value = {"relay": backend}
        if prefix:
            made["path"] = prefix + path
        summary = " ".join(str(given.get("summary") or "").split())[:200]
        return made | ({"summary": summary} if summary else {})

    def call(
        self, path: str, method: str, item: Value, site: Site, to: tuple[str, str], routed: tuple[str, Value]
    ) -> None:
        draft, given = self.draft, item[method]
        route, relay = routed
        if self.mode == "relay":
            draft.rest[route] = relay
            return
        at = f"{method.upper()} {path}"
        made = typed(self.schemas, given, item.get("parameters"), site, method, route, path, to)
        wanted = given.get("operationId")
        name = identifier(str(wanted) if wanted else f"{method}{path}")
        free = identifier(name, draft.operations)
        if free != name and wanted:
            draft.note(at, f"the operationId {wanted} is there twice: this one is {free}")
        draft.operations[free], endpoint = made
        draft.rest[route] = {"call": free, **endpoint} if endpoint else free
        draft.relays[free], draft.places[free] = (route, relay), at
        if given.get("deprecated") is True:
            draft.comment("operations", free, text="deprecated in its document")
        if given.get("security") == [] and self.given.get("security"):
            draft.note("security", "operations without security in the document are behind the component's keys here")


def _all_typed(draft: Draft) -> None:
    if draft.relayed:
        reasons = [str(note) for note in draft.notes if "relayed" in note.message][:10]
        hint = "Leave --typed out to relay these. " + "; ".join(reasons)
        raise refused(draft.origin, f"{draft.relayed} operations cannot be typed.", hint, "import-untyped")


def _first(draft: Draft) -> str:
    return str(draft.notes[0]) if draft.notes else ""


def _map(value: Value, key: str) -> Value:
    found = value.get(key)
    return found if isinstance(found, dict) else {}
