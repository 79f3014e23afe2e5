"""An OpenAPI document (3.0, 3.1) as checks of messages need it: references resolved, schemas as JSON Schema 2020-12.

Nothing is fetched: a document refers to its own parts only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_DEEPEST: Final = 16  # references behind one another


@dataclass(frozen=True, slots=True)
class Located:
    """A part of the document with its JSON pointer."""

    pointer: str
    value: Any

    def at(self, *keys: str) -> Located | None:
        pointer, value = self.pointer, self.value
        for key in keys:
            if not isinstance(value, Mapping) or key not in value:
                return None
            pointer += "/" + _escaped(key)
            value = value[key]
        return Located(pointer, value)


class Document:
    """`root` is the whole; ValueError for what is no OpenAPI 3 document."""

    def __init__(self, given: Any) -> None:
        if not isinstance(given, Mapping) or not isinstance(given.get("paths", {}), Mapping):
            raise ValueError("the document is no OpenAPI document: it is a map with `openapi` and `paths`")
        version = str(given.get("openapi", ""))
        if not version.startswith(("3.0.", "3.1.")) and version not in ("3.0", "3.1"):
            said = f"says {version!r}" if version else "does not say its version"
            raise ValueError(f"the document {said}; OpenAPI 3.0 and 3.1 are read")
        self.root: Any = _converted(given) if version.startswith("3.0") else given

    def resolved(self, part: Located) -> Located:
        """The part, or what it refers to. ValueError: that is not here."""
        for _ in range(_DEEPEST):
            reference = part.value.get("$ref") if isinstance(part.value, Mapping) else None
            if not isinstance(reference, str):
                return part
            if not reference.startswith("#/"):
                raise ValueError(f"the document refers to {reference!r}; nothing is fetched: bundle it into one file")
            keys = [_unescaped(key) for key in reference[2:].split("/")]
            found = Located("#", self.root).at(*keys)
            if found is None:
                raise ValueError(f"the document refers to {reference!r}, which is not in it")
            part = found
        raise ValueError(f"references go in a circle at {part.pointer}")

    def find(self, part: Located, *keys: str) -> Located | None:
        """A part below another one, resolved on the way."""
        for key in keys:
            found = self.resolved(part).at(key)
            if found is None:
                return None
            part = found
        return self.resolved(part)

    def items(self, part: Located, key: str) -> Iterator[Located]:
        """The parts of a list, resolved."""
        found = self.find(part, key)
        if found is not None and isinstance(found.value, list):
            for index, value in enumerate(found.value):
                yield self.resolved(Located(f"{found.pointer}/{index}", value))

    def members(self, part: Located, key: str) -> Iterator[tuple[str, Located]]:
        """The parts of a map, resolved."""
        found = self.find(part, key)
        if found is not None and isinstance(found.value, Mapping):
            for name, value in found.value.items():
                yield str(name), self.resolved(Located(f"{found.pointer}/{_escaped(str(name))}", value))

    def operations(self) -> Iterator[tuple[str, str, Located, Located]]:
        """(path template, METHOD, operation, path item)."""
        for path, item in self.members(Located("#", self.root), "paths"):
            if path.startswith("/"):
                for method in METHODS:
                    if (operation := item.at(method)) is not None:
                        yield path, method.upper(), operation, item


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _unescaped(key: str) -> str:
    return unquote(key).replace("~1", "/").replace("~0", "~")


def _converted(part: Any) -> Any:
    """OpenAPI 3.0's own dialect of JSON Schema in the one of 3.1: nullable, and exclusive bounds that are booleans."""
    if isinstance(part, list):
        return [_converted(each) for each in part]
    if not isinstance(part, Mapping):
        return part
    made = {key: _converted(value) for key, value in part.items()}
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(made.get(exclusive), bool) and made.pop(exclusive) and bound in made:
            made[exclusive] = made.pop(bound)
    if made.get("nullable") is True and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
        if isinstance(made.get("enum"), list) and None not in made["enum"]:
            made["enum"] = [*made["enum"], None]
    return made
