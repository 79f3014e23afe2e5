"""What an import makes: a manifest in the order that people read, comments with its provenance, and a report of
everything that could not be carried over."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.core.findings import DocumentsRefused, Finding, Place

JsonObject = dict[str, Any]
Path = tuple[str, ...]

_WORDS: Final = re.compile(r"[A-Za-z0-9_]+")
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")


@dataclass(frozen=True, slots=True, order=True)
class Note:
    """Something of the source that the manifest does not say, or says otherwise. `place` is in the source."""

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


@dataclass(slots=True)
class Draft:
    """A component on its way. `relays` makes the relay route that takes the place of a typed operation, by its name."""

    name: str
    version: str
    origin: str
    title: str = ""
    description: str = ""
    values: JsonObject = field(default_factory=dict)
    types: JsonObject = field(default_factory=dict)
    backends: JsonObject = field(default_factory=dict)
    operations: JsonObject = field(default_factory=dict)
    policies: list[Any] = field(default_factory=list)
    rest: JsonObject = field(default_factory=dict)
    odata: JsonObject = field(default_factory=dict)
    comments: dict[Path, list[str]] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    relays: dict[str, tuple[str, JsonObject]] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    _said: set[tuple[str, str]] = field(default_factory=set)

    def note(self, place: str, message: str) -> None:
        if (place, message) not in self._said:
            self._said.add((place, message))
            self.notes.append(Note(place, message))

    def comment(self, *path: str, text: str) -> None:
        self.comments.setdefault(path, []).append(text)

    def protect(self) -> None:
        """Nothing is ever imported open: the gateway's own keys, unless the source's schemes said something closer."""
        if not self.policies:
            self.policies.append({"id": "keys", "use": "api-key"})
            self.comment("policies", text="Keys of the gateway. For an open API write {use: anonymous} instead.")

    def relay_instead(self, operation: str, reason: str) -> bool:
        """Takes a typed operation back; its route relays. False: nothing is known of it."""
        made = self.relays.get(operation)
        if operation not in self.operations:
            return False
        del self.operations[operation]
        for route in [key for key, target in self.rest.items() if _called(target) == operation]:
            del self.rest[route]
        if made is not None:
            self.rest[made[0]] = made[1]
        outcome = "relayed instead of typed" if made else "left out"
        self.note(self.places.get(operation, operation), f"{outcome}: {reason}")
        return True

    def drop_unused_types(self) -> None:
        """Types that nothing reaches, so that the manifest says what it needs to. They are in the source still."""
        waiting: list[Any] = [self.operations]
        seen: set[str] = set()
        while waiting:
            for name in named_types(waiting.pop(), self.types):
                if name not in seen:
                    seen.add(name)
                    waiting.append(self.types[name])
        dropped = [name for name in self.types if name not in seen]
        if dropped and self.operations:
            self.types = {name: schema for name, schema in self.types.items() if name in seen}
            some = ", ".join(dropped[:8]) + (", …" if len(dropped) > 8 else "")
            self.note("types", f"{len(dropped)} types that no typed operation uses are left out: {some}")

    def document(self) -> JsonObject:
        """The manifest, keys in the order of DESIGN §7, without what is empty."""
        whole = {
            "kind": "ApiComponent",
            "name": self.name,
            "version": self.version,
            "title": self.title,
            "description": self.description,
            "base_path": f"/{self.name}/{{version}}",
            "values": self.values,
            "types": self.types,
            "backends": self.backends,
            "operations": self.operations,
            "policies": self.policies,
            "rest": self.rest,
            "odata": self.odata,
        }
        return {key: value for key, value in whole.items() if value not in ("", {}, [])}

    @property
    def typed(self) -> int:
        return len(self.operations)

    @property
    def relayed(self) -> int:
        return sum(1 for target in self.rest.values() if isinstance(target, dict) and "relay" in target)


def _called(target: Any) -> Any:
    return target.get("call") if isinstance(target, dict) else target


def named_types(value: Any, types: Collection[str]) -> list[str]:
    """The names of types in short forms and references anywhere inside."""
    if isinstance(value, str):
        text = value.removeprefix("#/types/")
        return [word for word in _WORDS.findall(text) if word in types]
    if isinstance(value, dict):
        return [name for part in value.values() for name in named_types(part, types)]
    return [name for part in value for name in named_types(part, types)] if isinstance(value, list) else []


def refused(place: str, message: str, hint: str = "", code: str = "import") -> DocumentsRefused:
    return DocumentsRefused([Finding(Place(place), code, message, hint)])


def component_name(text: str) -> str:
    """A component's name of a title or file name: `Swagger Petstore` → `swagger-petstore`."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].rstrip("-")
    return name if _NAME.fullmatch(name) else f"api-{name}"[:63].rstrip("-")


def check_names(name: str, version: str) -> None:
    """DocumentsRefused for a name or version that the command line gives and no component can have."""
    if not _NAME.fullmatch(name):
        raise refused("--name", f"{name!r} cannot name a component.", "Small letters, digits, - and _: --name shop.")
    if not _VERSION.fullmatch(version):
        raise refused("--version", f"{version!r} cannot name a version.", "Such as --version v1.")


def version_name(text: str) -> str:
    """`1.4.2` → `v1`; a text without a number → `v1`."""
    found = re.match(r"v?([0-9]+)", text.strip(), re.IGNORECASE)
    number = int(found[1][:9]) if found else 1
    return f"v{number or 1}"


def identifier(text: str, taken: Collection[str] = (), check: Callable[[str], bool] = lambda _name: False) -> str:
    """A name as manifests take it, none of `taken`: other characters become `_`, a second one gets `_2`."""
    name = re.sub(r"[^A-Za-z0-9_]+", "_", text).strip("_") or "unnamed"
    name = (f"_{name}" if name[0].isdigit() else name)[:120]
    number, free = 1, name
    while free in taken or check(free):
        number += 1
        free = f"{name}_{number}"
    return free
