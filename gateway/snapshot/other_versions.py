"""Steps that speak of other versions of their component: those must be there when such a step is published. Pure.

A plan is no component's: a version that its step names must be one of some component whose callers have the plan, or of
any while nobody has it.

Only what is new is held to that. A version that another one speaks of may go later, and a roll-back may bring back a
step that speaks of one that is gone: neither is refused for it, as the step's counts say that nobody is there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
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
        yield from _of_steps(endpoint.steps, kinds)


def _of_steps(steps: Iterable[StepSpec], kinds: Kinds) -> Iterator[tuple[StepSpec, str]]:
    for step in steps:
        kind = kinds.get(step.use)
        if kind is not None and kind.versions is not None:
            yield from ((step, name) for name in kind.versions(step.config))


def newly_named(before: Snapshot | None, after: Snapshot, kinds: Kinds) -> dict[str, list[tuple[StepSpec, str]]]:
    """By plan, its steps with the versions that they name and that it did not name before."""
    found: dict[str, list[tuple[StepSpec, str]]] = {}
    for plan, steps in after.plans.items():
        old = () if before is None else before.plans.get(plan, ())
        if steps is not old and steps != old:
            said = {name for _, name in _of_steps(old, kinds)}
            found[plan] = [(step, name) for step, name in _of_steps(steps, kinds) if name not in said]
    return {plan: named for plan, named in found.items() if named}


def check_plan_versions(
    named: Mapping[str, Iterable[tuple[StepSpec, str]]], after: Snapshot, on_plan: Mapping[str, Collection[str]]
) -> list[Finding]:
    """`named` as from `newly_named`; `on_plan` has the components whose callers have a plan."""
    found: list[Finding] = []
    for plan, steps in named.items():
        whose = on_plan.get(plan) or {each.component for each in after.versions}
        there = {each.version for each in after.versions if each.component in whose and _serves(each)}
        found += [_unknown(step, name, sorted(whose), sorted(there)) for step, name in steps if name not in there]
    return list(dict.fromkeys(found))


def _serves(version: VersionSpec) -> bool:
    return not version.canary and version.lifecycle.status != RETIRED


def _unknown(step: StepSpec, name: str, whose: list[str], there: list[str]) -> Finding:
    message = (
        f"The step `{step.id}` (`{step.use}`) of {step.scope} names the version {name}, which none of the components "
        f"has that the plan is for: {', '.join(whose) or 'there are none'}."
    )
    hint = f"Their versions: {', '.join(there)}." if there else "Publish one first."
    return Finding(place_of(step.place), "unknown_version", message, hint)
