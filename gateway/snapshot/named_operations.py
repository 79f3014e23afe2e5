"""Steps that have rules for single operations and endpoints: those must be there when such a step is published. Pure.

A rule for an operation that is misspelt leaves the operation to a wider rule. A component's own steps are held to their
own version; those of a named policy and of the gateway to all versions that have them: each name must mean something in
one. Only what is new is held to that, so that nothing which is live stands in anybody's way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from gateway.core.findings import Finding
from gateway.core.kinds import Kinds
from gateway.manifest.plain_words import near
from gateway.snapshot.configs import place_of
from gateway.snapshot.spec import Snapshot, StepSpec, VersionSpec

_SHARED: Final = ("gateway", "policy ")  # how scopes begin that stand outside of components


class _Said(NamedTuple):
    """One name in one step. `owner`: the version whose own step it is; empty for a step that several may have."""

    owner: str
    scope: str
    id: str
    what: str  # `operations` or `endpoints`
    name: str


def check_named_operations(before: Snapshot | None, after: Snapshot, kinds: Kinds) -> list[Finding]:
    """A finding for each name that means nothing, unless the same step said it before."""
    old = {} if before is None else {each.name: each for each in before.versions}
    changed = [each for each in after.versions if old.get(each.name) is not each]
    said = {each: step for version in changed for each, step in _said(version, kinds)}
    if not said:
        return []
    known = {each for version in old.values() for each, _ in _said(version, kinds)}
    meant, there = _meant(after.versions, kinds)
    wrong = said.keys() - known - meant
    return [_finding(said[each], each, there[each[:3]][each.what]) for each in sorted(wrong)]


def _said(version: VersionSpec, kinds: Kinds) -> Iterator[tuple[_Said, StepSpec]]:
    seen: set[int] = set()
    for endpoint in version.endpoints:
        for step in endpoint.steps:
            kind = kinds.get(step.use)
            if kind is None or kind.operations is None or id(step) in seen:
                continue
            seen.add(id(step))
            owner = "" if step.scope.startswith(_SHARED) else version.name
            operations, endpoints = kind.operations(step.config)
            for what, names in (("operations", operations), ("endpoints", endpoints)):
                yield from ((_Said(owner, step.scope, step.id, what, name), step) for name in names)


There = dict[tuple[str, str, str], dict[str, set[str]]]


def _meant(versions: Iterable[VersionSpec], kinds: Kinds) -> tuple[set[_Said], There]:
    """What is said and means something, and all that each step could speak of."""
    meant: set[_Said] = set()
    there: There = {}
    for version in versions:
        names: dict[str, set[str]] = {}
        for each, _ in _said(version, kinds):
            names = names or _names(version)
            if each.name in names[each.what]:
                meant.add(each)
            one = there.setdefault(each[:3], {"operations": set(), "endpoints": set()})
            one[each.what] |= names[each.what]
    return meant, there


def _names(version: VersionSpec) -> dict[str, set[str]]:
    sets = version.odata.entity_sets if version.odata is not None else {}
    mounts = {name for name in ("soap", "odata") if getattr(version, name) is not None}
    return {"operations": {*version.operations, *sets}, "endpoints": {each.key for each in version.endpoints} | mounts}


def _finding(step: StepSpec, said: _Said, known: set[str]) -> Finding:
    one = "operation or entity set" if said.what == "operations" else "endpoint"
    message = f"The step `{step.id}` (`{step.use}`) has a rule for `{said.name}`, and there is no such {one}."
    return Finding(place_of(step.place), "unknown_operation", message, near(said.name, known))
