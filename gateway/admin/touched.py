"""Which endpoints a change of a policy or a plan reaches, without their component being published: pure, over two
compiled snapshots."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from gateway.snapshot.order import overlay
from gateway.snapshot.spec import EndpointSpec, Snapshot, StepSpec, VersionSpec

Steps = Sequence[StepSpec]


def changed_plans(before: Snapshot, after: Snapshot) -> list[str]:
    names = sorted(before.plans.keys() | after.plans.keys())
    return [name for name in names if _shape(before.plans.get(name, ())) != _shape(after.plans.get(name, ()))]


def touched(before: Snapshot, after: Snapshot, on_plan: Mapping[str, Collection[str]]) -> list[dict[str, Any]]:
    """One entry for each endpoint of a version that stays what it is while its chain changes, with the ids of its steps
    before and after; and one for each endpoint on a plan that changes. `on_plan` has the components whose callers have
    a plan, by plan."""
    old = {each.name: each for each in before.versions}
    found = list(_by_policy(old, after))
    for name in changed_plans(before, after):
        plans = before.plans.get(name, ()), after.plans.get(name, ())
        for version in after.versions:
            if version.component in on_plan.get(name, ()) and version.name in old:
                found += _by_plan(name, version, old[version.name], *plans)
    return found


def _by_policy(old: Mapping[str, VersionSpec], after: Snapshot) -> Iterator[dict[str, Any]]:
    for version in after.versions:
        was = old.get(version.name)
        if was is not None and was is not version and was.revision == version.revision:
            chains = {each.key: each.steps for each in was.endpoints}
            for endpoint in version.endpoints:
                steps = chains.get(endpoint.key, ())
                if _shape(steps) != _shape(endpoint.steps):
                    yield _entry(version, endpoint, None, steps, endpoint.steps)


def _by_plan(name: str, version: VersionSpec, was: VersionSpec, old: Steps, new: Steps) -> Iterator[dict[str, Any]]:
    chains = {each.key: each.steps for each in was.endpoints}
    for endpoint in version.endpoints:
        if endpoint.key in chains:
            before, after = _overlaid(chains[endpoint.key], old), _overlaid(endpoint.steps, new)
            yield _entry(version, endpoint, name, before, after)


def _overlaid(steps: Steps, plan: Steps) -> Steps:
    replaced, appended = overlay(tuple(steps), tuple(plan))
    return (*replaced, *appended)


def _entry(version: VersionSpec, endpoint: EndpointSpec, plan: str | None, old: Steps, new: Steps) -> dict[str, Any]:
    was, now = _shape(old), _shape(new)
    return {
        "version": version.name,
        "endpoint": endpoint.key,
        "plan": plan,
        "added": [id for id in now if id not in was],
        "removed": [id for id in was if id not in now],
        "changed": [id for id in now if id in was and was[id] != now[id]],
        "before": list(was),
        "after": list(now),
    }


def _shape(steps: Steps) -> dict[str, dict[str, Any]]:
    """By id, in order; without the place, which changes nothing."""
    return {each.id: each.model_dump(exclude={"place"}) for each in steps}
