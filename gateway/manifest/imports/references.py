"""Places in a source of several documents, and what references there lead to."""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import unquote

from gateway.core.findings import DocumentsRefused
from gateway.manifest.imports.draft import Draft, refused
from gateway.manifest.imports.source import Sources, label


class Site(NamedTuple):
    """A place in one of the source's documents: its address and the JSON pointer."""

    where: str
    pointer: str

    def at(self, *keys: str | int) -> Site:
        more = "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in keys)
        return Site(self.where, self.pointer + more)

    @property
    def name(self) -> str:
        """What a type of this place may be called."""
        return unquoted(self.pointer.rpartition("/")[2]) if self.pointer else label(self.where).partition(".")[0]


class References:
    """Of one source."""

    def __init__(self, sources: Sources, draft: Draft) -> None:
        self.sources = sources
        self.draft = draft

    def place(self, site: Site) -> str:
        return f"{'' if site.where == self.sources.root else label(site.where)}#{site.pointer}"

    def note(self, site: Site, message: str) -> None:
        self.draft.note(self.place(site), message)

    def follow(self, value: Any, site: Site) -> tuple[Any, Site]:
        """What stands behind references, however many. DocumentsRefused: one that leads nowhere or in a circle."""
        seen: set[Site] = set()
        while isinstance(value, dict) and isinstance(value.get("$ref"), str):
            if site in seen:
                raise self.bad(site, "it refers to itself")
            seen.add(site)
            value, site = self.target(value["$ref"], site)
        return value, site

    def target(self, reference: str, site: Site) -> tuple[Any, Site]:
        file, _, fragment = reference.partition("#")
        where = self.sources.beside(file, site.where) if file else site.where
        value: Any = self.sources.value(where)
        for part in fragment.split("/")[1:]:
            key = unquoted(part)
            if isinstance(value, dict) and key in value:
                value = value[key]
            elif isinstance(value, list) and key.isdigit() and int(key) < len(value):
                value = value[int(key)]
            else:
                raise self.bad(site, f"there is nothing at {reference}")
        return value, Site(where, fragment)

    def absolute(self, value: Any, site: Site) -> Any:
        """With references that name their document, as parts of other files come together here."""
        if isinstance(value, dict):
            reference = value.get("$ref")
            if isinstance(reference, str):
                file, _, fragment = reference.partition("#")
                where = self.sources.beside(file, site.where) if file else site.where
                return {**value, "$ref": f"{where}#{fragment}"} if where != self.sources.root else value
            return {key: self.absolute(part, site) for key, part in value.items()}
        return [self.absolute(part, site) for part in value] if isinstance(value, list) else value

    def bad(self, site: Site, message: str) -> DocumentsRefused:
        return refused(self.place(site), f"{message}.", "", "import-reference")


def unquoted(part: str) -> str:
    return unquote(part).replace("~1", "/").replace("~0", "~")
