"""What the type table refuses after all is taken out of imported types: first a keyword, then the schema around it."""

from __future__ import annotations

from typing import Any, Final

from gateway.core.findings import DocumentsRefused
from gateway.manifest.imports.keywords import DROPPED_FIRST, Schema
from gateway.manifest.imports.references import References, Site
from gateway.schema import json_schema
from gateway.schema.json_schema import read_types
from gateway.schema.short import expand

_ROUNDS: Final = 25


class Settling:
    """Of one source. `sites` tell where the draft's types stand there."""

    def __init__(self, references: References, sites: dict[str, Site]) -> None:
        self.references = references
        self.draft = references.draft
        self.sites = sites

    def types(self) -> None:
        """Takes out of the draft's types what the type table refuses, until it takes all of them."""
        for _ in range(_ROUNDS):
            try:
                read_types({name: expand(schema, self.draft.types) for name, schema in self.draft.types.items()}, "")
            except DocumentsRefused as refused:
                for finding in refused.findings:
                    self._yield(self.draft.types, finding.place.path, finding.message)
                continue
            return
        for name in self.draft.types:
            self.draft.types[name] = {}
        self.draft.note("types", "any JSON: these types contradict each other")

    def one(self, schema: Schema, site: Site) -> Schema:
        """The same for a schema that stands alone."""
        holder = {"it": schema}
        names = list(self.draft.types)
        for _ in range(_ROUNDS):
            try:
                json_schema.read(holder["it"], names, "it", "/it")
            except DocumentsRefused as refused:
                for finding in refused.findings:
                    self._yield(holder, finding.place.path, finding.message, site)
                continue
            return holder["it"]
        return {}

    def _yield(self, holder: dict[str, Any], path: str, message: str, site: Site | None = None) -> None:
        keys = [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]
        start = site or self.sites.get(keys[0] if keys else "") or Site(self.references.sources.root, "")
        place = self.references.place(start.at(*keys[1:]))
        if keys and keys[-1] in DROPPED_FIRST and _drop(holder, keys):
            self.draft.note(place, f"{keys[-1]} is not checked here: {message.rstrip('.')}")
            return
        while len(keys) > 1 and not isinstance(_get(holder, keys), dict):
            keys.pop()
        if len(keys) > 1 and keys[-1] in ("properties", "items"):
            keys.pop()
        _set(holder, keys)
        self.draft.note(place, f"any JSON: {message.rstrip('.')}")


def _get(value: Any, keys: list[str]) -> Any:
    for key in keys:
        if isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        elif isinstance(value, dict) and key in value:
            value = value[key]
        else:
            return None
    return value


def _drop(holder: Any, keys: list[str]) -> bool:
    parent = _get(holder, keys[:-1])
    return isinstance(parent, dict) and parent.pop(keys[-1], None) is not None


def _set(holder: Any, keys: list[str]) -> None:
    parent = _get(holder, keys[:-1])
    if isinstance(parent, list):
        parent[int(keys[-1])] = {}
    elif isinstance(parent, dict) and keys:
        parent[keys[-1]] = {}
