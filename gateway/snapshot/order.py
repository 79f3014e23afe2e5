"""The order of a chain: lists of steps, outer to inner, become one list (DESIGN, section 5). Pure.

effective(inner) is the inner list with `base` replaced by the outer one; without `base` the outer one comes first.
An inner step with an inherited id replaces it in place, `{drop: id}` takes it out; locked steps refuse both.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.core.findings import Finding, Place
from gateway.manifest.documents import Drop, Step, Steps
from gateway.snapshot.spec import StepSpec

BASE = "base"
GATEWAY = "gateway"


@dataclass(frozen=True)
class NamedPolicy:
    """A named list of steps with all its revisions; `revision` is the one that followers get."""

    name: str
    revision: int
    revisions: Mapping[int, Steps]


@dataclass
class Ordering:
    """Collects what is wrong while lists are merged."""

    policies: Mapping[str, NamedPolicy]
    pins: Mapping[str, int] = field(default_factory=dict)  # followed policies that a roll-back pinned
    findings: list[Finding] = field(default_factory=list)

    def refuse(self, place: Place, code: str, message: str, hint: str = "") -> None:
        self.findings.append(Finding(place, code, message, hint))


def effective(
    outer: Sequence[StepSpec], inner: Steps, scope: str, places: Sequence[Place], ordering: Ordering
) -> tuple[StepSpec, ...]:
    """The inner list's chain. `places` has one place per item of `inner`."""
    items = _items(inner, scope, places, ordering)
    inherited = {step.id: step for step in outer}
    replaced: dict[str, StepSpec] = {}
    dropped: set[str] = set()
    before: list[StepSpec] = []
    after: list[StepSpec] = []
    based = any(item == BASE for item, _ in items)
    target = before if based else after
    for item, place in items:
        if item == BASE:
            if target is after and based:
                ordering.refuse(place, "base_twice", "`base` stands twice in this list.", "Leave one of them.")
            target = after
        elif isinstance(item, Drop):
            _drop(item.drop, inherited, dropped, place, ordering)
        elif isinstance(item, StepSpec):
            _add(item, inherited, replaced, target, [*before, *after], place, ordering)
    _refuse_both(dropped & replaced.keys(), items, ordering)
    base = [replaced.get(step.id, step) for step in outer if step.id not in dropped]
    return (*before, *base, *after)


def overlay(outer: Sequence[StepSpec], plan: Sequence[StepSpec]) -> tuple[tuple[StepSpec, ...], tuple[StepSpec, ...]]:
    """A plan's steps over a chain: (the chain with replaced steps, the steps that come after it). Positions stay, so
    that a running exchange can go on in the plan's variant."""
    by_id = {step.id: step for step in plan}
    known = {step.id for step in outer}
    return tuple(by_id.get(step.id, step) for step in outer), tuple(s for s in plan if s.id not in known)


def _add(
    step: StepSpec,
    inherited: Mapping[str, StepSpec],
    replaced: dict[str, StepSpec],
    target: list[StepSpec],
    written: Iterable[StepSpec],
    place: Place,
    ordering: Ordering,
) -> None:
    if step.id in replaced or any(other.id == step.id for other in written):
        message = f"Two steps of this list have the id `{step.id}`."
        ordering.refuse(place, "duplicate_step", message, "Give one of them an `id` of its own.")
    elif step.id not in inherited:
        target.append(step)
    elif inherited[step.id].locked:
        _refuse_locked(step.id, inherited[step.id], place, ordering)
    else:
        replaced[step.id] = step


Item = StepSpec | Drop | str


def _drop(name: str, inherited: Mapping[str, StepSpec], dropped: set[str], place: Place, ordering: Ordering) -> None:
    if name not in inherited:
        near = difflib.get_close_matches(name, inherited, 1)
        hint = f"Did you mean `{near[0]}`?" if near else f"Inherited are: {', '.join(inherited) or 'none'}."
        ordering.refuse(place, "unknown_step", f"No inherited step has the id `{name}`.", hint)
    elif inherited[name].locked:
        _refuse_locked(name, inherited[name], place, ordering)
    else:
        dropped.add(name)


def _refuse_both(names: Collection[str], items: Iterable[tuple[Item, Place]], ordering: Ordering) -> None:
    """A step that is dropped and replaced: neither is obeyed in silence."""
    for item, place in items:
        if isinstance(item, Drop) and item.drop in names:
            message = f"The step `{item.drop}` is both dropped and replaced in this list."
            hint = "To replace it leave `drop` out; to put another elsewhere give that one an id of its own."
            ordering.refuse(place, "dropped_and_replaced", message, hint)


def _refuse_locked(name: str, step: StepSpec, place: Place, ordering: Ordering) -> None:
    message = f"The step `{name}` of {step.scope} is locked: it can be neither replaced nor dropped."
    ordering.refuse(place, "locked_step", message, "Remove this line, or ask who keeps the gateway's own steps.")


def _items(steps: Steps, scope: str, places: Sequence[Place], ordering: Ordering) -> list[tuple[Item, Place]]:
    found: list[tuple[Item, Place]] = []
    for item, place in zip(steps, places, strict=True):
        if isinstance(item, Step):
            found.append((step_spec(item, scope, place, ordering), place))
        elif isinstance(item, Drop) or item == BASE:
            found.append((item, place))
        else:
            found.extend((step, place) for step in _named(item, place, ordering))
    return found


def step_spec(step: Step, scope: str, place: Place, ordering: Ordering) -> StepSpec:
    """A step as it was written, declared by `scope`."""
    if step.locked and scope != GATEWAY:
        message = "Only steps of the policy named `gateway` can be locked."
        ordering.refuse(place, "locked_outside_gateway", message, "Remove `locked`.")
    return StepSpec(
        id=step.id or step.use,
        use=step.use,
        config=step.with_,
        when=step.when,
        locked=step.locked,
        scope=scope,
        place=str(place),
    )


def _named(reference: str, place: Place, ordering: Ordering) -> tuple[StepSpec, ...]:
    """The steps of a named policy; `partner-rules` follows, `partner-rules@7` pins; ids become `name/id`."""
    name, _, pin = reference.partition("@")
    policy = ordering.policies.get(name)
    if policy is None or name == GATEWAY:
        near = difflib.get_close_matches(name, [other for other in ordering.policies if other != GATEWAY], 1)
        hint = f"Did you mean `{near[0]}`?" if near else "Apply it first: penstock policies apply FILE."
        ordering.refuse(place, "unknown_policy", f"There is no policy named `{name}`.", hint)
        return ()
    revision = int(pin) if pin else ordering.pins.get(name, policy.revision)
    if revision not in policy.revisions:
        known = ", ".join(str(number) for number in sorted(policy.revisions))
        message = f"The policy `{name}` has no revision {revision}."
        ordering.refuse(place, "unknown_policy_revision", message, f"It has: {known}.")
        return ()
    return expand_policy(name, policy.revisions[revision], place, ordering)


def expand_policy(name: str, steps: Steps, place: Place, ordering: Ordering) -> tuple[StepSpec, ...]:
    """A policy's own steps, with their scope. It holds steps only: neither `base` nor `drop` nor other policies."""
    scope = GATEWAY if name == GATEWAY else f"policy {name}"
    found: dict[str, StepSpec] = {}
    for item in steps:
        if not isinstance(item, Step):
            message = f"The policy `{name}` holds {_words(item)}; a named policy is a list of steps."
            ordering.refuse(place, "not_a_step", message, "Write the step itself: {use: KIND, with: {…}}.")
            continue
        step = step_spec(item, scope, place, ordering)
        if step.id in found:
            message = f"Two steps of the policy `{name}` have the id `{step.id}`."
            ordering.refuse(place, "duplicate_step", message, "Give one of them an `id` of its own.")
        found[step.id] = step
    if name == GATEWAY:
        return tuple(found.values())
    return tuple(replace_id(step, f"{name}/{step.id}") for step in found.values())


def replace_id(step: StepSpec, id: str) -> StepSpec:
    return step.model_copy(update={"id": id})


def _words(item: Any) -> str:
    return f"`{{drop: {item.drop}}}`" if isinstance(item, Drop) else f"`{item}`"
