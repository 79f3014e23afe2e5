"""A version that extends another: maps merge by key, null removes a key, lists and everything else replace whole.

So a child's list of policies replaces its parent's; `base` inside of a list stands for the outer scope (gateway,
component, endpoint), never for the version that is extended. What speaks of one version only is not inherited:
`version`, `extends`, `default`, `lifecycle`, `released`. An operation's `fixed` answer and a schema's `default` are
data and replace whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.core.findings import Finding, Place
from gateway.manifest.bundle import Bundle
from gateway.manifest.plain_words import near, place_of
from gateway.manifest.yaml_reader import Tree

_OWN: Final = ("version", "extends", "default", "lifecycle", "released")
_DATA: Final = ("fixed", "default")

Keys = tuple[str | int, ...]


def merge(parent: Bundle, child: Tree) -> tuple[Tree, list[Finding]]:
    """The child with all that it inherits. Places of inherited parts are those of the file they came from."""
    inherited = parent.manifest.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    for key in _OWN:
        inherited.pop(key, None)
    merging = _Merging(parent.name, child.places)
    value = merging.maps(inherited, child.value, ())
    return Tree(value, parent_places(parent) | child.places), merging.findings


def parent_places(parent: Bundle) -> dict[str, Place]:
    """The places that a bundle holds as text."""
    return {path: _read(text, path) for path, text in parent.places.items()}


def _read(text: str, path: str) -> Place:
    file, line, column = text.rsplit(":", 2)
    return Place(file, int(line), int(column), path)


@dataclass(slots=True)
class _Merging:
    parent: str
    places: Mapping[str, Place]
    findings: list[Finding] = field(default_factory=list)

    def maps(self, old: dict[str, Any], new: dict[str, Any], at: Keys) -> dict[str, Any]:
        merged = dict(old)
        for key, part in new.items():
            here = (*at, key)
            if part is None and not _is_data(here):
                self.remove(merged, key, here)
            elif isinstance(part, dict) and not _is_data(here):
                before = merged.get(key)
                merged[key] = self.maps(before if isinstance(before, dict) else {}, part, here)
            else:
                merged[key] = part
        return merged

    def remove(self, merged: dict[str, Any], key: str, here: Keys) -> None:
        if merged.pop(key, None) is None:
            message = f"null removes what is inherited, and {self.parent} has no {key!r} here."
            self.findings.append(Finding(place_of(here, self.places), "nothing-to-remove", message, near(key, merged)))


def _is_data(keys: Keys) -> bool:
    return len(keys) > 2 and keys[-1] in _DATA
