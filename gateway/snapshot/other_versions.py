"""Steps that speak of other versions of their component: those must be there when such a step is published. Pure.

Only what is new is held to that. A version that another one speaks of may go later, and a roll-back may bring back a
step that speaks of one that is gone: neither is refused for it, as the step's counts say that nobody is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from gateway.core.findings import Finding
from gateway.core.kinds import Kinds
from gateway.snapshot.configs import place_of
from gateway.snapshot.spec import Snapshot, StepSpec, VersionSpec

RETIRED: Final = "retired"


def check_other_versions(before: Snapshot | None, after: Snapshot, kinds: Kinds) -> list[Finding]:
    """A finding for each step that names a version which there is not, or which is retired, unless it did before."""
    known = {} if before is None else {each.name: each for each in before.versions}
    there: dict[str, dict[str, VersionSpec]] = {}
    for each in after.versions:
        if not each.canary:
            there.setdefault(each.component, {})[each.version] = each
    found: list[Finding] = []
    for version in after.versions:
        old = known.get(version.name)
        if old is not version:
            said = set() if old is None else {name for _, name in _named(old, kinds)}
            found += _missing(version, there.get(version.component, {}), said, kinds)
    return list(dict.fromkeys(found))


def _missing(
    version: VersionSpec, there: dict[str, VersionSpec], said: Iterable[str], kinds: Kinds
) -> Iterator[Finding]:
    for step, name in _named(version, kinds):
        if name in said or (name in there and there[name].lifecycle.status != RETIRED):
            continue
        what = "is retired" if name in there else "is not there"
        message = f"The step `{step.id}` (`{step.use}`) names the version {name} of {version.component}, which {what}."
        offered = sorted(each for each in there if each != version.version and there[each].lifecycle.status != RETIRED)
        hint = f"There are: {', '.join(offered)}." if offered else "It has no other version: publish that one first."
        yield Finding(place_of(step.place), "unknown_version", message, hint)


def _named(version: VersionSpec, kinds: Kinds) -> Iterator[tuple[StepSpec, str]]:
    for endpoint in version.endpoints:
        for step in endpoint.steps:
            kind = kinds.get(step.use)
            if kind is not None and kind.versions is not None:
                yield from ((step, name) for name in kind.versions(step.config))
