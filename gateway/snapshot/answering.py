"""Steps that may answer in the backend's place, and what must not stand behind them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from gateway.core.findings import Finding
from gateway.core.kinds import Kinds
from gateway.snapshot.configs import place_of
from gateway.snapshot.order import overlay
from gateway.snapshot.spec import EndpointSpec, StepSpec, VersionSpec
from gateway.snapshot.stages import stage

Plans = Mapping[str, tuple[StepSpec, ...]]
DECIDING: Final = ("authentication", "authorisation")


def check_answering(plans: Plans, version: VersionSpec, kinds: Kinds) -> list[Finding]:
    """A step that decides who may ask would not run when one before it answers; and what is not safe must not be
    answered from a store."""
    findings: list[Finding] = []
    for endpoint in version.endpoints:
        if not any(_answers(step, kinds) for step in _all(endpoint, plans)):
            continue
        findings += _order(endpoint.steps, kinds)
        for plan in plans.values():
            replaced, appended = overlay(endpoint.steps, plan)
            findings += _order((*replaced, *appended), kinds)
        findings += _effects(endpoint, version, plans)
    return list(dict.fromkeys(findings))


def _all(endpoint: EndpointSpec, plans: Plans) -> Iterator[StepSpec]:
    yield from endpoint.steps
    for steps in plans.values():
        yield from steps


def _answers(step: StepSpec, kinds: Kinds) -> bool:
    kind = kinds.get(step.use)
    return kind is not None and kind.answers


def _order(steps: Sequence[StepSpec], kinds: Kinds) -> Iterator[Finding]:
    """In the order in which they run: by stage, then as written."""
    known = [step for step in steps if step.use in kinds]
    answering: StepSpec | None = None
    for step in sorted(known, key=lambda step: stage(step, kinds)):
        kind = kinds[step.use]
        if answering is not None and (kind.protects or kind.family in DECIDING):
            message = f"The step `{step.id}` decides who may ask, and stands behind `{answering.id}`, which may answer."
            late = stage(step, kinds) > stage(answering, kinds)
            hint = f"It needs the body, so `{answering.id}` cannot stand here." if late else "Put it before that one."
            yield Finding(place_of(step.place), "answered_before", message, hint)
        if kind.answers and answering is None:
            answering = step


def _effects(endpoint: EndpointSpec, version: VersionSpec, plans: Plans) -> Iterator[Finding]:
    operation = version.operations.get(endpoint.operation)
    if operation is None or operation.contract.effect == "safe":
        return
    for step in _all(endpoint, plans):
        methods = step.config.get("methods", ())
        if step.use == "cache" and isinstance(methods, list | tuple) and "POST" in methods:
            message = f"The step `{step.id}` stores answers to POST, and the operation {operation.name} is not safe."
            hint = "Say `effect: safe` if it changes nothing, or leave POST out of `methods`."
            yield Finding(place_of(step.place), "cache_unsafe", message, hint)
