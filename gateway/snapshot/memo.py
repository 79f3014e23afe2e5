"""What was compiled before: a version is compiled again only when something changed that it was made of. Pure.

A version is made of its bundle, the gateway's steps, the plans that may lie over its chains, its pins, and the named
policies and topics that its bundle asks for. `Watched` notes what was asked for, also in vain: a policy that appears
changes a version that missed it. Versions with findings are never kept, as their texts name what else there is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from gateway.manifest.bundle import Bundle
from gateway.snapshot.order import NamedPolicy
from gateway.snapshot.spec import StepSpec, TopicSpec, VersionSpec

KEPT: Final = 4  # forms of one version: the one that serves, its canary, a candidate, and the one before
T = TypeVar("T")
Plans = Mapping[str, tuple[StepSpec, ...]]
Node = tuple[object, ...]  # what is the same for everything that a node compiles: its values and kinds


class Watched(Mapping[str, T], Generic[T]):
    """A mapping that notes what was asked of it; None for what is not there."""

    def __init__(self, everything: Mapping[str, T]) -> None:
        self._everything = everything
        self.seen: dict[str, T | None] = {}

    def __getitem__(self, name: str) -> T:
        found = self.seen[name] = self._everything.get(name)
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._everything)

    def __len__(self) -> int:
        return len(self._everything)


@dataclass(frozen=True, slots=True)
class Ground:
    """What all versions of one compilation stand on."""

    gateway: tuple[StepSpec, ...]
    plans: Plans
    policies: Mapping[str, NamedPolicy]
    topics: Mapping[str, TopicSpec]


@dataclass(frozen=True, slots=True)
class _Entry:
    bundle: Bundle
    pins: Mapping[str, int]
    gateway: tuple[StepSpec, ...]
    plans: Plans
    policies: Mapping[str, NamedPolicy | None]
    topics: Mapping[str, TopicSpec | None]
    spec: VersionSpec

    def fits(self, bundle: Bundle, pins: Mapping[str, int], ground: Ground) -> bool:
        """Cheap where nothing changed: objects that are the same are equal."""
        return (
            (self.bundle is bundle or self.bundle == bundle)
            and self.pins == pins
            and self.gateway is ground.gateway
            and self.plans is ground.plans
            and all(ground.policies.get(name) == seen for name, seen in self.policies.items())
            and all(ground.topics.get(name) == seen for name, seen in self.topics.items())
        )


@dataclass
class Memo:
    """Of one node: values and kinds that differ from the last ones forget everything. May be asked by several threads:
    each look and each note is one operation of a dict."""

    _entries: dict[str, tuple[_Entry, ...]] = field(default_factory=dict)
    _gateways: list[tuple[StepSpec, ...]] = field(default_factory=list)
    _plans: list[Plans] = field(default_factory=list)
    _node: Node = ()
    _derived: dict[str, tuple[tuple[VersionSpec, Mapping[str, Any], VersionSpec], ...]] = field(default_factory=dict)
    compiled: int = 0  # versions that were compiled and not remembered

    def begin(self, node: Node, ground: Ground) -> Ground:
        """The ground with what it has in common with earlier ones, as the same objects."""
        if node != self._node:
            self._node, self._entries, self._derived = node, {}, {}
        gateway, plans = _same(self._gateways, ground.gateway), _same(self._plans, ground.plans)
        return Ground(gateway, plans, ground.policies, ground.topics)

    def find(self, bundle: Bundle, pins: Mapping[str, int], ground: Ground) -> VersionSpec | None:
        for entry in self._entries.get(bundle.name, ()):
            if entry.fits(bundle, pins, ground):
                return entry.spec
        return None

    def keep(
        self,
        bundle: Bundle,
        pins: Mapping[str, int],
        ground: Ground,
        policies: Mapping[str, NamedPolicy | None],
        topics: Mapping[str, TopicSpec | None],
        spec: VersionSpec,
    ) -> VersionSpec:
        """The spec; an equal one that is known already in its place."""
        known = self._entries.get(spec.name, ())
        spec = next((each.spec for each in known if each.spec == spec), spec)
        entry = _Entry(bundle, pins, ground.gateway, ground.plans, policies, topics, spec)
        self._entries[spec.name] = (entry, *known)[:KEPT]
        return spec

    def derive(self, spec: VersionSpec, update: Mapping[str, Any]) -> VersionSpec:
        """The version with these members; the same object for the same version and members, as its digest is dear."""
        known = self._derived.get(spec.name, ())
        for of, members, made in known:
            if of is spec and members == update:
                return made
        made = spec.model_copy(update=update)
        self._derived[spec.name] = ((spec, update, made), *known)[: 2 * KEPT]
        return made

    def end(self, names: Collection[str]) -> None:
        """Forgets versions that are long gone."""
        if len(self._entries) > 2 * len(names) + KEPT:
            self._entries = {name: self._entries[name] for name in names if name in self._entries}
            self._derived = {name: self._derived[name] for name in names if name in self._derived}


def _same(known: list[T], wanted: T) -> T:
    """The one of the last few that is equal, or this one, which is known from then on."""
    for each in known:
        if each == wanted:
            return each
    known.insert(0, wanted)
    del known[KEPT:]
    return wanted
