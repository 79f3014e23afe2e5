"""Configured steps, built: each in its slot of a chain, behind its condition."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.core.conditions import compile_condition
from gateway.core.errors import InternalError, Problem
from gateway.core.exchange import Exchange, Reply, Step, StepResult
from gateway.core.kinds import Built, Kinds, Services, Site, Stage
from gateway.core.secrets import Secret
from gateway.manifest.environment import reveal
from gateway.snapshot.spec import StepSpec

log: Final = logging.getLogger("gateway")


@dataclass(frozen=True, slots=True)
class Slot:
    """One step in its place; `run` is what the chain loop calls there."""

    spec: StepSpec
    stage: Stage
    reply_stage: Stage
    built: Built
    run: Step


@dataclass(frozen=True, slots=True)
class Builder:
    """What building needs: the kinds, what steps may hold, and the secrets, revealed here and nowhere else."""

    kinds: Kinds
    services: Services
    secrets: Mapping[str, Secret]


def build_slots(
    steps: Iterable[StepSpec], component: str, version: str, endpoint: str, builder: Builder
) -> tuple[Slot, ...]:
    """Slots in written order, cut by stage: those that need the head only, then the body, then the call."""
    slots = [_slot(step, component, version, endpoint, builder) for step in steps]
    return tuple(sorted(slots, key=lambda slot: slot.stage))


def _slot(step: StepSpec, component: str, version: str, endpoint: str, builder: Builder) -> Slot:
    kind = builder.kinds[step.use]
    config = kind.config.model_validate(reveal(step.config, builder.secrets))
    site = Site(component, version, endpoint, step.scope, step.id, builder.services)
    built = kind.build(config, site)
    run = built.step or passes
    if step.when is not None:
        run = _guarded(run, step, kind.protects, built.otherwise or passes)
    return Slot(step, kind.stage, kind.reply_stage, built, run)


def passes(_exchange: Exchange) -> None:
    """The step of a kind that only works on the way out."""


def _guarded(run: Step, step: StepSpec, protects: bool, otherwise: Callable[[Exchange], None]) -> Step:
    """A condition that errs never opens a door: a protecting step runs, any other is a 500 (DESIGN 5)."""
    holds = compile_condition(step.when or {})

    def guarded(exchange: Exchange) -> StepResult:
        try:
            applies = holds(exchange)
        except Exception as error:
            if not protects:
                log.error("request %s: `when` of %s/%s failed", exchange.id, step.scope, step.id, exc_info=error)
                raise InternalError(f"The condition of the step {step.id} could not be decided.") from error
            applies = True
        if not applies:
            exchange.skipped |= 1 << exchange.at
            otherwise(exchange)
            return None
        return run(exchange)  # type: ignore[return-value]  # what it returns goes to the chain loop as it is

    return guarded


def refuse_with(problem: Callable[[Exchange], Problem]) -> Step:
    """A step that always refuses."""

    def refuse(exchange: Exchange) -> Reply:
        raise problem(exchange)

    return refuse
